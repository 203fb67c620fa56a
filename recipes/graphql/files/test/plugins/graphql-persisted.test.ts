// In production persisted queries alone are run, and the schema can't be asked for.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { getIntrospectionQuery } from 'graphql'
import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { newProduct } from '../helpers/app.ts'
import { ask, buildGraphql, post } from '../helpers/graphql.ts'

const app = await buildGraphql(t)
// More than the one that is asked for.
for (let n = 0; n < 2; n++) await newProduct(app)

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
