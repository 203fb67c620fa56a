// GraphQL over HTTP, whatever the schema: the audit of the working group, bad input, limits, persisted queries.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { getIntrospectionQuery } from 'graphql'
import { auditServer } from 'graphql-http'
import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { bearer, newProduct, registered } from '../helpers/app.ts'
import { ask, buildGraphql, post } from '../helpers/graphql.ts'
import { holdTransaction } from '../helpers/transaction.ts'
import { buildLogged } from '../helpers/log.ts'

const app = await buildGraphql(t)
const { token } = await registered(app)
const RESPONSE = 'application/graphql-response+json'
const get = (query: Record<string, string>, headers: Record<string, string> = { accept: RESPONSE }) => app.inject({ url: `/graphql?${new URLSearchParams(query)}`, headers })

t.test('the audit of graphql-http', async t => {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const results = await auditServer({ url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/graphql` })
  const counts: Record<string, string> = {}
  for (const level of ['MUST', 'SHOULD', 'MAY']) {
    const ofLevel = results.filter(({ name }) => name.startsWith(level))
    counts[level] = `${ofLevel.filter(({ status }) => status === 'ok').length} of ${ofLevel.length}`
    // MAY is reported; so is SHOULD, and held, as all of it is kept.
    for (const result of ofLevel) {
      if (level === 'MAY') t.comment(`${result.status}: ${result.name}`)
      else t.equal(result.status, 'ok', `${result.id} ${result.name} ${result.status === 'ok' ? '' : result.reason}`)
    }
  }
  t.comment(JSON.stringify(counts))
  t.ok(results.length > 50)
})

t.test('media types', async t => {
  for (const [accept, type] of [
    [undefined, 'application/json'],
    ['*/*', 'application/json'],
    ['application/*', 'application/json'],
    ['text/html', 'application/json'],
    ['application/json', 'application/json'],
    [RESPONSE, RESPONSE],
    [`${RESPONSE}, application/json;q=0.9`, RESPONSE],
    [`${RESPONSE};q=0.5, application/json`, 'application/json'],
    [`${RESPONSE};q=0, */*`, 'application/json'],
    [`${RESPONSE};charset=utf-8`, RESPONSE],
    ['nonsense;;;', 'application/json']
  ] as const) {
    const response = await app.inject({ method: 'POST', url: '/graphql', headers: accept === undefined ? {} : { accept }, payload: { query: '{ __typename }' } })
    t.match(response, { statusCode: 200, headers: { 'content-type': `${type}; charset=utf-8`, vary: /Accept/ } }, accept ?? 'none')
    t.same(response.json(), { data: { __typename: 'Query' } })
  }
})

t.test('what is no request', async t => {
  for (const [name, payload, headers, status, code] of [
    ['no JSON', '{', {}, 400, 'MALFORMED_BODY'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), {}, 400, 'MALFORMED_BODY'],
    ['no body', '', {}, 400, 'MALFORMED_BODY'],
    ['a list (a batch)', '[{"query":"{ __typename }"},{"query":"{ __typename }"}]', {}, 400, 'VALIDATION_FAILED'],
    ['a word', '"x"', {}, 400, 'VALIDATION_FAILED'],
    ['null', 'null', {}, 400, 'VALIDATION_FAILED'],
    ['an unknown field', '{"query":"{ __typename }","queries":[]}', {}, 400, 'VALIDATION_FAILED'],
    ['a list of variables', '{"query":"{ __typename }","variables":[]}', {}, 400, 'VALIDATION_FAILED'],
    ['a number for a query', '{"query":1}', {}, 400, 'VALIDATION_FAILED'],
    ['a query too long', JSON.stringify({ query: `#${'x'.repeat(16 * 1024)}\n{ __typename }` }), {}, 400, 'VALIDATION_FAILED'],
    ['text', '{ __typename }', { 'content-type': 'application/graphql' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['a form', 'query={__typename}', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['text that a page of another origin may send', '{"query":"{ __typename }"}', { 'content-type': 'text/plain' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['too much', JSON.stringify({ query: 'x'.repeat(2 ** 20) }), {}, 413, 'PAYLOAD_TOO_LARGE'],
    ['half a surrogate pair', '{"query":"{ products(q: \\"\\ud800\\") { nodes { id } } }"}', {}, 400, 'VALIDATION_FAILED'],
    ['NUL in a variable', '{"query":"{ __typename }","variables":{"a":"\\u0000"}}', {}, 400, 'VALIDATION_FAILED']
  ] as const) {
    const response = await app.inject({ method: 'POST', url: '/graphql', headers: { 'content-type': 'application/json', ...headers }, payload })
    t.match([response.statusCode, response.headers['content-type'], response.json().code], [status, 'application/problem+json', code], name)
  }
})

t.test('what is no document, or not valid', async t => {
  for (const query of [
    '{', ' ', '# nothing', 'null', 'true', '1', '"x"', '[]', '{}', '{ nothing }', '{ products }', 'query A { __typename } query A { __typename }',
    'query ($x: Int) { __typename } fragment F on Query { ...F }', '{ ...F } fragment F on Query { ...F }', 'query A { __typename } query B { __typename }',
    '{"kind":"Document","definitions":[]}', '{"kind":"Document","definitions":5}', '{"kind":"Document"}',
    JSON.stringify({ kind: 'Document', definitions: [{ kind: 'OperationDefinition', operation: 'query', selectionSet: { kind: 'SelectionSet', selections: [{ kind: 'Field', name: { kind: 'Name', value: '__typename' } }] } }] }),
    `{ ${'a '.repeat(2_100)} }`, `${'{a'.repeat(900)}`, '{ product(id: "x") { id } }', '{ products(first: "x") { nodes { id } } }', '{ products(sort: NOTHING) { nodes { id } } }',
    'type X { y: Int }', '{ products(q: "\\uD800") { nodes { id } } }'
  ]) {
    const response = await post(app, query)
    t.match([response.statusCode, response.headers['content-type']], [400, `${RESPONSE}; charset=utf-8`], query.slice(0, 60))
    const body = response.json()
    t.notOk('data' in body)
    t.ok(body.errors.length > 0 && body.errors.length <= 21)
    for (const { message, extensions } of body.errors) t.match([message, extensions], [/\w/, { code: 'VALIDATION_FAILED', status: 400, type: '/problems/validation-failed', requestId: String }])
  }
  t.match((await ask(app, '{\n  nothing\n}')).errors, [{ locations: [{ line: 2, column: 3 }] }])
  // A second time it comes from the cache.
  t.match((await ask(app, '{\n  nothing\n}')).errors, [{ extensions: { code: 'VALIDATION_FAILED' } }])
})

t.test('variables and operations', async t => {
  const QUERY = 'query One($id: UUID!) { product(id: $id) { id } } query Two { __typename }'
  const { id } = await newProduct(app)
  t.same(await ask(app, QUERY, { variables: { id }, body: { operationName: 'One' } }), { data: { product: { id } } })
  t.same(await ask(app, QUERY, { body: { operationName: 'Two' } }), { data: { __typename: 'Query' } })
  for (const [variables, operationName] of [[{ id }, 'Three'], [{ id }, ''], [{ id }, null], [{}, 'One'], [{ id: null }, 'One'], [{ id: 'x' }, 'One'], [{ id: 1 }, 'One'], [{ id: [id] }, 'One'], [null, 'One']] as const) {
    const response = await post(app, QUERY, { body: { variables, operationName } })
    t.match([response.statusCode, response.json()], [400, { errors: [{ extensions: { code: 'VALIDATION_FAILED' } }] }], JSON.stringify([variables, operationName]))
  }
})

t.test('GET', async t => {
  const { id } = await newProduct(app)
  t.same((await get({ query: 'query ($id: UUID!) { product(id: $id) { id } }', variables: JSON.stringify({ id }) })).json(), { data: { product: { id } } })
  t.same((await app.inject({ url: '/graphql?query={me{email}}', headers: bearer(token) })).json().data.me.email.length > 0, true)
  for (const [query, status, code] of [
    [{}, 400, 'VALIDATION_FAILED'],
    [{ query: '' }, 400, 'VALIDATION_FAILED'],
    [{ query: '{ __typename }', variables: '{' }, 400, 'VALIDATION_FAILED'],
    [{ query: '{ __typename }', variables: '[]' }, 400, 'VALIDATION_FAILED'],
    [{ query: '{ __typename }', extensions: '1' }, 400, 'VALIDATION_FAILED'],
    [{ query: '{ __typename }', nothing: '1' }, 400, 'VALIDATION_FAILED'],
    [{ query: 'query A { __typename } query B { __typename }', operationName: 'C' }, 400, 'VALIDATION_FAILED'],
    [{ query: 'subscription { orderUpdates { __typename } }' }, 400, 'BAD_REQUEST']
  ] as const) {
    const response = await get(query as unknown as Record<string, string>)
    const { errors, code: own } = response.json()
    t.match([response.statusCode, own ?? errors[0].extensions.code], [status, code], JSON.stringify(query))
  }
  for (const accept of [RESPONSE, 'application/json']) {
    const response = await get({ query: 'mutation { __typename }' }, { accept })
    t.match(response, { statusCode: 405, headers: { allow: 'POST' } })
    t.match(response.json(), { errors: [{ extensions: { code: 'METHOD_NOT_ALLOWED' } }] })
  }
  t.equal((await app.inject({ method: 'PUT', url: '/graphql' })).statusCode, 405)
  t.match((await ask(app, 'subscription { orderUpdates { __typename } }', { token })).errors, [{ extensions: { code: 'BAD_REQUEST' } }], 'nor is a subscription answered by POST')
})

t.test('limits', async t => {
  const strict = await buildGraphql(t, { GRAPHQL_DEPTH_MAX: 3, GRAPHQL_COST_MAX: 50 })
  const refused = async (query: string, variables = {}) => (await post(strict, query, { variables })).json().errors?.[0].extensions.code

  t.test('of depth, through fragments, too', async t => {
    t.equal(await refused('{ products(first: 1) { nodes { id } } }'), undefined)
    t.equal(await refused('{ products(first: 1) { nodes { price { amount } } } }'), 'QUERY_TOO_COMPLEX')
    t.equal(await refused('{ ...A } fragment A on Query { products(first: 1) { ... on ProductConnection { nodes { ...B } } } } fragment B on Product { price { amount } }'), 'QUERY_TOO_COMPLEX')
  })

  t.test('of cost: as many as are asked for, literally, by a variable, or by default', async t => {
    t.equal(await refused('{ products(first: 49) { nodes { id } } }'), undefined)
    t.equal(await refused('{ products(first: 50) { nodes { id } } }'), 'QUERY_TOO_COMPLEX')
    const QUERY = 'query ($first: Int! = 60) { products(first: $first) { nodes { id } } }'
    t.equal(await refused(QUERY, { first: 49 }), undefined)
    t.equal(await refused(QUERY, { first: 50 }), 'QUERY_TOO_COMPLEX')
    t.equal(await refused(QUERY), 'QUERY_TOO_COMPLEX')
    t.equal(await refused('{ a: products { nodes { id } } b: products { nodes { id } } }'), undefined)
    t.equal(await refused('{ a: products { nodes { id } } b: products { nodes { id } } c: products { nodes { id } } }'), 'QUERY_TOO_COMPLEX', 'each alias counts')
    t.equal(await refused('mutation { a: __typename }'), undefined)
    t.equal(await refused(`mutation { ${'abcdef'.split('').map(name => `${name}: payOrder(id: "0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11") { id }`).join(' ')} }`), 'QUERY_TOO_COMPLEX', 'mutations cost more')
  })

  t.test('a negative number makes nothing cheaper', async t => {
    t.equal(await refused('{ a: products(first: -1000000) { nodes { id } } b: products(first: 60) { nodes { id } } }'), 'QUERY_TOO_COMPLEX')
  })

  t.test('fragments that are spread ever again are measured at once', async t => {
    // 20 to the 12th power, if each were walked.
    const names = 'abcdefghijkl'.split('')
    const fragments = names.map((name, index) => `fragment ${name} on Product { ${index + 1 < names.length ? Array.from({ length: 20 }, () => `...${names[index + 1]}`).join(' ') : 'id'} }`)
    const aliases = Array.from({ length: 40 }, (_, n) => `p${n}: products { nodes { ...a } }`).join(' ')
    t.equal(await refused(`{ ${aliases} } ${fragments.join(' ')}`), 'QUERY_TOO_COMPLEX')
  })

  t.test('say how much it is, and nothing is run', async t => {
    const { errors, data } = await ask(strict, '{ products(first: 100) { nodes { id } } }')
    t.equal(data, undefined)
    t.match(errors, [{ message: /may cost 101; 50 is the most/, extensions: { code: 'QUERY_TOO_COMPLEX', status: 400, type: '/problems/query-too-complex' } }])
    t.equal((await strict.inject('/problems/query-too-complex')).statusCode, 200)
  })

  t.test('do not count introspection, which has its own', async t => {
    t.ok((await ask(strict, getIntrospectionQuery())).data.__schema)
    const deep = (levels: number): string => levels === 0 ? 'name' : `fields { type { ${deep(levels - 1)} } }`
    t.match((await ask(strict, `{ __schema { types { ${deep(5)} } } }`)).errors, [{ message: /introspection depth/i }])
  })
})

t.test('in production', async t => {
  const key = { NODE_ENV: 'production', DATABASE_URL: 'postgresql://127.0.0.1/x', JWT_PRIVATE_KEY: app.config.JWT_PRIVATE_KEY }
  const { GRAPHQL_OPERATIONS, GRAPHQL_INTROSPECTION } = loadConfig(key)
  t.same([GRAPHQL_OPERATIONS, GRAPHQL_INTROSPECTION], ['persisted', 'off'], 'the defaults are closed')
  const closed = await buildGraphql(t, { GRAPHQL_OPERATIONS, GRAPHQL_INTROSPECTION })
  const text = readFileSync('routes/graphql/operations/Products.graphql', 'utf8').trim()
  const hash = createHash('sha256').update(text).digest('hex')

  t.test('persisted queries are run, by their id', async t => {
    for (const body of [{ documentId: `sha256:${hash}` }, { documentId: hash }, { extensions: { persistedQuery: { version: 1, sha256Hash: hash } } }, { documentId: `sha256:${hash}`, operationName: 'Products', variables: { first: 1 } }]) {
      t.match(await ask(closed, undefined, { body }), { data: { products: { nodes: [{ id: String }] } } }, JSON.stringify(body))
    }
    const response = await closed.inject(`/graphql?documentId=sha256:${hash}&variables=${encodeURIComponent('{"first":1}')}`)
    t.equal(response.json().data.products.nodes.length, 1)
    t.ok((await ask(app, undefined, { body: { documentId: `sha256:${hash}` } })).data, 'in development, too')
  })

  t.test('others are not', async t => {
    for (const [body, code] of [
      [{ query: '{ products { nodes { id } } }' }, 'PERSISTED_QUERY_REQUIRED'],
      [{ query: text }, 'PERSISTED_QUERY_REQUIRED'],
      [{}, 'PERSISTED_QUERY_REQUIRED'],
      [{ documentId: 'sha256:' }, 'PERSISTED_QUERY_NOT_FOUND'],
      [{ documentId: `sha256:${'0'.repeat(64)}` }, 'PERSISTED_QUERY_NOT_FOUND'],
      [{ documentId: '__proto__' }, 'PERSISTED_QUERY_NOT_FOUND'],
      [{ documentId: 'constructor' }, 'PERSISTED_QUERY_NOT_FOUND'],
      // What Apollo's clients send to have it registered.
      [{ query: '{ products { nodes { id } } }', extensions: { persistedQuery: { version: 1, sha256Hash: createHash('sha256').update('{ products { nodes { id } } }').digest('hex') } } }, 'PERSISTED_QUERY_NOT_FOUND'],
      [{ query: '{ products { nodes { id } } }', extensions: { persistedQuery: { sha256Hash: 1 } } }, 'PERSISTED_QUERY_REQUIRED'],
      [{ query: '{ products { nodes { id } } }', extensions: { persistedQuery: null } }, 'PERSISTED_QUERY_REQUIRED']
    ] as const) {
      const response = await post(closed, undefined, { body })
      t.match([response.statusCode, response.json()], [400, { errors: [{ extensions: { code, status: 400 } }] }], JSON.stringify(body))
    }
    // With an id what else is sent does not matter.
    t.ok((await ask<{ products: object }>(closed, '{ me { id } }', { body: { documentId: `sha256:${hash}` } })).data.products)
  })

  t.test('introspection is off', async t => {
    const off = await buildGraphql(t, { GRAPHQL_INTROSPECTION: 'off' })
    for (const query of ['{ __schema { types { name } } }', '{ __type(name: "Order") { name } }', getIntrospectionQuery()]) {
      t.match(await ask(off, query), { data: undefined, errors: [{ message: /introspection/, extensions: { code: 'VALIDATION_FAILED' } }] })
    }
    t.same((await ask(off, '{ __typename }')).data, { __typename: 'Query' })
  })
})

t.test('a setting that is none stops the start, by name', async t => {
  t.throws(() => loadConfig({ GRAPHQL_OPERATIONS: 'some', GRAPHQL_INTROSPECTION: 'maybe', GRAPHQL_DEPTH_MAX: '0', GRAPHQL_COST_MAX: 'much' }), { message: /GRAPHQL_OPERATIONS[^]*GRAPHQL_INTROSPECTION[^]*GRAPHQL_DEPTH_MAX[^]*GRAPHQL_COST_MAX/ })
})

t.test('what fails unexpectedly is told to the log alone', async t => {
  const { app: logged, lines } = await buildLogged(t, {}, fastify => {
    fastify.addHook('onReady', async () => { Object.defineProperty(fastify.prisma, 'product', { get: () => { throw new TypeError('the secret is 42') } }) })
  })
  const response = await post(logged, '{ product(id: "0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11") { id } __typename }')
  t.equal(response.statusCode, 200)
  t.match(response.json(), { data: { product: null, __typename: 'Query' }, errors: [{ message: 'The service failed.', path: ['product'], extensions: { code: 'INTERNAL_ERROR', status: 500 } }] })
  t.notMatch(response.body, /secret|TypeError/)
  t.match(lines.filter(({ level }) => level >= 50), [{ msg: 'a field failed', path: 'product', err: { message: 'the secret is 42' }, requestId: response.headers['x-request-id'] }])
})

t.test('without the database', async t => {
  const away = await buildGraphql(t, { DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/none' })
  const { accessToken } = away.accessTokens.issue({ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', scopes: ['orders:read'] })
  t.match(await ask(away, '{ orders { nodes { id } } }', { token: accessToken }), { data: null, errors: [{ extensions: { code: 'UNAVAILABLE', status: 503 } }] })
  t.same(await ask(away, '{ __typename }'), { data: { __typename: 'Query' } })
})

t.test('a request that takes too long is answered as everywhere, and what it waits for is not begun', async t => {
  const { id } = await newProduct(app, { stock: 5 })
  const release = await holdTransaction(app, async tx => { await tx.$queryRaw`SELECT 1 FROM products WHERE id = ${id}::uuid FOR UPDATE` })
  const response = await post(app, 'mutation ($input: NewOrder!) { a: createOrder(input: $input) { replayed } b: createOrder(input: $input) { replayed } }', { token, variables: { input: { items: [{ productId: id, quantity: 1 }] } }, headers: { 'x-request-timeout-ms': '300' } })
  t.match([response.statusCode, response.json()], [503, { code: 'DEADLINE_EXCEEDED' }])
  await release()
  // The transactions of the request have come to their end when a new one gets the lock.
  await app.prisma.$transaction(async tx => { await tx.$queryRaw`SELECT 1 FROM products WHERE id = ${id}::uuid FOR UPDATE` })
  await sleep(100)
  t.equal((await app.inject(`/products/${id}`)).json().stock, 5)
})

t.test('requests count, as those of any route', async t => {
  const limited = await buildGraphql(t, { RATE_LIMIT_MAX: 2 })
  const codes = []
  for (let i = 0; i < 3; i++) codes.push((await post(limited, '{ __typename }')).statusCode)
  t.same(codes, [200, 200, 429])
  const metered = await buildGraphql(t, { METRICS_TOKEN: 'a-token-for-metrics' })
  await post(metered, '{ __typename }')
  const { body } = await metered.inject({ url: '/metrics', headers: bearer('a-token-for-metrics') })
  t.match(body, /http_[a-z_]+_count\{[^}]*route="\/graphql"/)
})
