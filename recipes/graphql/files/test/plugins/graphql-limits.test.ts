// How deep and how dear a GraphQL operation may be, and how many requests there may be.
import { getIntrospectionQuery } from 'graphql'
import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { bearer } from '../helpers/app.ts'
import { ask, buildGraphql, post } from '../helpers/graphql.ts'

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

t.test('a setting that is none stops the start, by name', async t => {
  t.throws(() => loadConfig({ GRAPHQL_OPERATIONS: 'some', GRAPHQL_INTROSPECTION: 'maybe', GRAPHQL_DEPTH_MAX: '0', GRAPHQL_COST_MAX: 'much' }), { message: /GRAPHQL_OPERATIONS[^]*GRAPHQL_INTROSPECTION[^]*GRAPHQL_DEPTH_MAX[^]*GRAPHQL_COST_MAX/ })
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
