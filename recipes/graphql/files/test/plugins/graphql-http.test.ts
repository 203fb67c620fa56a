// GraphQL over HTTP, whatever the schema: the audit of the working group, and bad input.
import type { AddressInfo } from 'node:net'
import { auditServer } from 'graphql-http'
import t from 'tap'
import { bearer, newProduct, registered } from '../helpers/app.ts'
import { ask, buildGraphql, post } from '../helpers/graphql.ts'

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
