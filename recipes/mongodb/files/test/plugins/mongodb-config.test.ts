import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { buildApp, testConfig, withoutDatabase } from '../helpers/app.ts'
import { service } from '../helpers/mongodb-service.ts'

withoutDatabase()

t.test('without MONGODB_URL what is in MongoDB is not available, and the readiness does not ask for it', async t => {
  const { app, check } = await service(t, undefined)
  const response = await app.inject({ url: '/reviews' })
  t.equal(response.statusCode, 503)
  t.match(response.json(), { code: 'UNAVAILABLE', type: '/problems/unavailable' })
  t.match(response.headers, { 'retry-after': /^\d+$/, 'content-type': 'application/problem+json' })
  t.equal(await check(), undefined)
})

t.test('MONGODB_URL names a database, on one server or several', async t => {
  const read = (MONGODB_URL: string) => loadConfig({ NODE_ENV: 'test', MONGODB_URL }).MONGODB_URL
  for (const url of ['mongodb://localhost/app', 'mongodb://user:hunter2@a:27017,b:27018/app?replicaSet=rs', 'mongodb+srv://user:s3cret@cluster.example.com/app']) t.equal(read(url), url)
  for (const url of ['http://localhost/app', 'mongodb://', 'mongodb://localhost', 'mongodb://localhost/', 'mongodb://localhost/?replicaSet=rs', 'mongodb://localhost/a b', 'localhost/app']) {
    t.throws(() => read(url), { message: /MONGODB_URL: expected a URL that starts with mongodb/ }, url)
  }
})

t.test('what is wrong with MONGODB_URL is said without it', async t => {
  t.throws(() => loadConfig({ NODE_ENV: 'test', MONGODB_URL: 'mongodb://ada:hunter2@localhost' }), { message: /^(?!.*hunter2)/s })
  const config = await testConfig({ MONGODB_URL: 'mongodb://ada:hunter2@localhost/app?sesame=open' })
  await t.rejects(buildApp(t, config), { message: /^MONGODB_URL can't be used: Mongo\w+Error$/ })
})

t.test('MONGODB_URL may be in a file', async t => {
  const file = join(t.testdir(), 'url')
  writeFileSync(file, 'mongodb://localhost/app\n')
  t.equal(loadConfig({ NODE_ENV: 'test', MONGODB_URL_FILE: file }).MONGODB_URL, 'mongodb://localhost/app')
})

t.test('bad limits stop the start', async t => {
  for (const [name, value] of [['MONGODB_TIMEOUT', '5'], ['MONGODB_TIMEOUT', '0s'], ['MONGODB_POOL_MAX', '0'], ['MONGODB_POOL_MAX', 'many'], ['MONGODB_TRANSACTIONS', 'never']] as const) {
    t.throws(() => loadConfig({ NODE_ENV: 'test', [name]: value }), { message: new RegExp(name) }, `${name}=${value}`)
  }
})

t.test('who follows changes is declared once and in time', async t => {
  const definition = { name: 'twice', collection: 'things', handler: async () => {} }
  const app = await buildApp(t, {}, fastify => {
    fastify.after(() => {
      fastify.mongodb.follow(definition)
      t.throws(() => fastify.mongodb.follow(definition), { message: /declared twice/ })
    })
  })
  t.throws(() => app.mongodb.follow({ ...definition, name: 'late' }), { message: /declared too late/ })
})
