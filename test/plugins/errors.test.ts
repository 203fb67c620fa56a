import t from 'tap'
import { Type } from 'typebox'
import { DomainError } from '../../services/errors.ts'
import { buildApp } from '../helpers/app.ts'

const config = { public: true }
const schema = { hide: true }

t.test('an unknown error is a 500 that says nothing of the inside', async (t) => {
  const lines: string[] = []
  const app = await buildApp(t, { LOG_LEVEL: 'error' }, app => {
    app.get('/boom', { config, schema }, async () => { throw new Error('secret detail: password=hunter2') })
    app.log.error = ((line: { err: Error }) => { lines.push(String(line.err.stack)) }) as typeof app.log.error
    app.addHook('onRequest', async request => { request.log.error = app.log.error })
  })
  const response = await app.inject('/boom')
  t.equal(response.statusCode, 500)
  t.equal(response.headers['content-type'], 'application/problem+json')
  t.match(response.json(), { type: '/problems/internal-error', status: 500, code: 'INTERNAL_ERROR', title: 'The service failed' })
  t.notMatch(response.body, /hunter2|boom|Error:/)
  t.match(lines[0], /secret detail[\s\S]*at /, 'the log has the stack')
})

t.test('the request id ties the problem to the response and the log', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject('/nowhere')
  const { requestId, instance } = response.json()
  t.equal(requestId, response.headers['x-request-id'])
  t.equal(instance, `urn:request:${requestId}`)
})

t.test('a domain error becomes the problem of the table, with pointers into the body', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/domain', { config, schema }, async () => {
      throw new DomainError('SKU_TAKEN', 'There is an A-1.', [{ path: '/items/0/sku', detail: 'is taken' }])
    })
  })
  const response = await app.inject('/domain')
  t.equal(response.statusCode, 409)
  t.match(response.json(), { code: 'SKU_TAKEN', detail: 'There is an A-1.', errors: [{ pointer: '#/body/items/0/sku', detail: 'is taken' }] })
})

t.test('input that does not fit names every place', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.post('/input/:id', {
      config,
      schema: {
        hide: true,
        params: Type.Object({ id: Type.Integer() }),
        querystring: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1 })) }, { additionalProperties: false }),
        headers: Type.Object({ 'X-Count': Type.Optional(Type.Integer()) }),
        body: Type.Object({ name: Type.String({ minLength: 1 }), tags: Type.Array(Type.String()) }, { additionalProperties: false })
      }
    }, async () => ({}))
  })
  const errorsOf = async (url: string, payload: object, headers = {}) => (await app.inject({ method: 'POST', url, payload, headers })).json().errors
  const fine = { name: 'a', tags: [] }

  t.same(await errorsOf('/input/1', { name: '', tags: ['a', 1], 'a/b~c': 1 }), [
    { pointer: '#/body/a~1b~0c', detail: 'is not a known field' },
    { pointer: '#/body/name', detail: 'must NOT have fewer than 1 characters' },
    { pointer: '#/body/tags/1', detail: 'must be string' }
  ])
  t.match(await errorsOf('/input/1', {}), [{ pointer: '#/body/name', detail: 'is required' }, { pointer: '#/body/tags' }])
  t.match(await errorsOf('/input/x', fine), [{ pointer: '#/params/id' }])
  t.match(await errorsOf('/input/1?limit=0', fine), [{ pointer: '#/query/limit' }])
  t.match(await errorsOf('/input/1?limt=1', fine), [{ pointer: '#/query/limt', detail: 'is not a known field' }])
  t.match(await errorsOf('/input/1', fine, { 'x-count': 'many' }), [{ pointer: '#/headers/x-count' }])
})

t.test('a body with very many faults reports the first', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.post('/list', { config, schema: { hide: true, body: Type.Array(Type.String()) } }, async () => ({}))
  })
  const response = await app.inject({ method: 'POST', url: '/list', payload: Array.from({ length: 100_000 }, () => 0) })
  t.equal(response.statusCode, 400)
  t.equal(response.json().errors.length, 1)
})

t.test('numbers in a query are read from their plain spelling only', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/limit', { config, schema: { hide: true, querystring: Type.Object({ limit: Type.Integer(), on: Type.Optional(Type.Boolean()) }) } }, async request => request.query)
  })
  t.same((await app.inject('/limit?limit=5&on=true')).json(), { limit: 5, on: true })
  for (const text of ['5%20', '0x5', '5e0', '05', '+5', '', '1.5', '1.0', 'null', '%20']) {
    t.equal((await app.inject(`/limit?limit=${text}`)).statusCode, 400, `"${text}"`)
  }
})

t.test('nothing in a body is coerced', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.post('/strict', { config, schema: { hide: true, body: Type.Object({ n: Type.Integer(), s: Type.String() }) } }, async () => ({}))
  })
  for (const payload of [{ n: '1', s: 'a' }, { n: null, s: 'a' }, { n: true, s: 'a' }, { n: 1, s: 1 }, { n: 1, s: null }]) {
    t.equal((await app.inject({ method: 'POST', url: '/strict', payload })).statusCode, 400, JSON.stringify(payload))
  }
})

const raw = (kind: string) => ({ name: 'PrismaClientKnownRequestError', code: 'P2010', meta: { driverAdapterError: { cause: { kind } } } })

const sqlState = (originalCode: string) => ({ name: 'PrismaClientKnownRequestError', code: 'P2039', meta: { driverAdapterError: { cause: { kind: 'postgres', originalCode } } } })

const database: [name: string, error: object, status: number, code: string][] = [
  ['a unique violation no service translated', { name: 'PrismaClientKnownRequestError', code: 'P2002' }, 409, 'CONFLICT'],
  ['a foreign key', { name: 'PrismaClientKnownRequestError', code: 'P2003' }, 409, 'CONFLICT'],
  ['a row that is gone', { name: 'PrismaClientKnownRequestError', code: 'P2025' }, 404, 'NOT_FOUND'],
  ['a write conflict', { name: 'PrismaClientKnownRequestError', code: 'P2034' }, 503, 'CONTENTION'],
  ['a server that cannot be reached', raw('DatabaseNotReachable'), 503, 'UNAVAILABLE'],
  ['a wrong password', raw('AuthenticationFailed'), 503, 'UNAVAILABLE'],
  ['a host without a route', { name: 'PrismaClientKnownRequestError', code: 'EHOSTUNREACH' }, 503, 'UNAVAILABLE'],
  ['a transaction whose connection broke while it was written to', { name: 'ConnectionError', code: 'EPIPE' }, 503, 'UNAVAILABLE'],
  ['a fault of the driver', { name: 'PrismaClientKnownRequestError', code: 'ERR_INVALID_ARG_TYPE' }, 500, 'INTERNAL_ERROR'],
  ['a deadlock in raw SQL', raw('TransactionWriteConflict'), 503, 'CONTENTION'],
  ['a unique violation in raw SQL', raw('UniqueConstraintViolation'), 409, 'CONFLICT'],
  ['a full pool', { message: 'timeout exceeded when trying to connect' }, 503, 'UNAVAILABLE'],
  ['a connection that broke', { message: 'Connection terminated unexpectedly' }, 503, 'UNAVAILABLE'],
  ['too many connections', { name: 'DriverAdapterError', cause: { originalCode: '53300' } }, 503, 'UNAVAILABLE'],
  ['a lock that is not let go of', sqlState('55P03'), 503, 'CONTENTION'],
  ['a statement that takes too long', sqlState('57014'), 503, 'UNAVAILABLE'],
  ['a server that has become a standby', sqlState('25006'), 503, 'UNAVAILABLE'],
  ['a transaction that was idle', sqlState('25P03'), 503, 'UNAVAILABLE'],
  ['a session that was idle', sqlState('57P05'), 503, 'UNAVAILABLE'],
  ['a lock in raw SQL', { ...sqlState('55P03'), code: 'P2010' }, 503, 'CONTENTION'],
  ['a transaction that takes too long', { name: 'PrismaClientKnownRequestError', code: 'P2028' }, 503, 'UNAVAILABLE'],
  ['SQL that is wrong', { name: 'PrismaClientKnownRequestError', code: 'P2010' }, 500, 'INTERNAL_ERROR']
]
let fault = new Error()
const failing = await buildApp(t, {}, app => {
  app.get('/database', { config, schema }, async () => { throw fault })
})
for (const [name, fields, status, code] of database) {
  t.test(`the database reports ${name}: ${status} ${code}, without SQL`, async (t) => {
    fault = Object.assign(new Error('SELECT secret FROM users'), fields)
    const response = await failing.inject('/database')
    t.equal(response.statusCode, status)
    t.equal(response.json().code, code)
    t.notMatch(response.body, /SELECT/)
  })
}

t.test('a long message is clipped to what the schema of problems allows', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/long', { config, schema }, async () => { throw new DomainError('NOT_FOUND', 'x'.repeat(10_000)) })
  })
  t.equal((await app.inject('/long')).json().detail.length, 4096)
})

t.test('a 401 always says how to authenticate, whoever answers it', async (t) => {
  const app = await buildApp(t, {}, app => {
    app.get('/said', { config, schema }, async (_request, reply) => reply.header('www-authenticate', 'Bearer error="invalid_token"').problem(401))
    app.get('/unsaid', { config, schema }, async (_request, reply) => reply.problem(401))
    app.get('/thrown', { config, schema }, async () => { throw Object.assign(new Error('Who are you?'), { statusCode: 401 }) })
  })
  for (const url of ['/unsaid', '/thrown']) {
    const response = await app.inject(url)
    t.equal(response.statusCode, 401)
    t.equal(response.headers['www-authenticate'], 'Bearer')
  }
  t.equal((await app.inject('/said')).headers['www-authenticate'], 'Bearer error="invalid_token"')
})
