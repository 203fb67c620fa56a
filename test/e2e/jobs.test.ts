// Workers that die. Real processes on a real server: a killed one's jobs run again elsewhere.
import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Type } from 'typebox'
import { signUp } from '../helpers/accounts.ts'
import { buildApp } from '../helpers/app.ts'
import { deadJobs, storedJobs } from '../helpers/jobs.ts'
import { until } from '../helpers/until.ts'
import { startMailServer } from '../helpers/smtp.ts'
import { call, copyOfCheckout, startService, type Service } from '../helpers/process.ts'
import { plainDatabase, rows } from '../prisma/project.ts'

const server = process.env.TEST_DATABASE_URL ?? ''
const options = { skip: server === '' && 'TEST_DATABASE_URL is not set' }
/** As many as a run of all tests has time for; KILL_ORDERS=500 KILLS=20 is what was promised, and takes minutes. */
const ORDERS = Number(process.env.KILL_ORDERS ?? 120)
const KILLS = Number(process.env.KILLS ?? 5)

t.test(`${ORDERS} orders while their worker is killed ${KILLS} times: each has exactly one confirmation`, { ...options, timeout: 240_000 }, async (t) => {
  const folder = copyOfCheckout(t)
  const DATABASE_URL = await plainDatabase(t, server)
  const web = await startService(t, folder, { DATABASE_URL, ROLE: 'web' })
  const { token: admin } = await signUp(web, 'admin')
  const product = await call(`${web.url}/products`, { token: admin, body: { sku: 'LAMP', name: 'Lamp', description: '', price: { amount: 1999, currency: 'EUR' }, stock: ORDERS } })
  const orders: string[] = []
  // Slow enough for kills to hit jobs at work.
  const mails = await startMailServer(t, { onMailFrom: (_address, _session, done) => { setTimeout(done, 100) } })
  const env = { DATABASE_URL, ROLE: 'worker', SMTP_URL: mails.url }

  let worker: Service = await startService(t, folder, env, 200, 'kit/serve')
  const order = async () => {
    const { status, body } = await call(`${web.url}/orders`, { token: admin, body: { items: [{ productId: product.body.id, quantity: 1 }] } })
    t.equal(status, 201)
    orders.push(body.id)
  }
  const ordering = (async () => {
    while (orders.length < ORDERS) {
      await Promise.all(Array.from({ length: 5 }, order))
      await sleep(150)
    }
  })()
  for (let kills = 0; kills < KILLS; kills++) {
    await sleep(Math.random() * 400)
    await worker.stop('SIGKILL')
    worker = await startService(t, folder, env, 200, 'kit/serve')
  }
  await ordering

  const confirmations = async () => await storedJobs({ databaseUrl: DATABASE_URL }, 'confirm-order')
  await until(async () => (await confirmations()).every(({ state }) => !['created', 'retry', 'active'].includes(state)))
  const confirmed = await rows(DATABASE_URL, "SELECT substring(subject FROM 'order (.*)$') AS id FROM mails WHERE sent_at IS NOT NULL")
  t.same(confirmed.map(({ id }) => String(id)).toSorted(), orders.toSorted())
  // A worker that dies after the mail server's answer and before its own commit sends again: as the same message.
  t.equal(new Set(mails.mails.map(mail => /^Message-ID: (.*)$/im.exec(mail)?.[1])).size, ORDERS)
  const jobs = await confirmations()
  t.comment(`${jobs.filter(({ attempts }) => attempts > 1).length} jobs were begun again, ${mails.mails.length - ORDERS} mails went out twice`)
  t.same(jobs.filter(({ state }) => state !== 'completed'), [], 'no job is left, none is dead')
  t.equal(jobs.length, ORDERS)
  t.equal((await worker.stop()).code, 0)
  t.equal((await web.stop()).code, 0)
})

t.test('a job that ends its process each time is dead after its attempts, and the others run', { ...options, timeout: 240_000 }, async (t) => {
  const folder = copyOfCheckout(t)
  const DATABASE_URL = await plainDatabase(t, server)
  mkdirSync(join(folder, 'jobs'), { recursive: true })
  writeFileSync(join(folder, 'jobs/exits.ts'), `
    import type { FastifyPluginAsync } from 'fastify'
    import { Type } from 'typebox'
    const exits: FastifyPluginAsync = async fastify => {
      fastify.jobs.define({ name: 'exits', payload: Type.Object({}), retry: { limit: 1, delaySeconds: 0 }, handler: async () => { process.exit(3) } })
    }
    export default exits`)
  const env = { DATABASE_URL, ROLE: 'worker' }
  const dead = async () => await deadJobs({ databaseUrl: DATABASE_URL }, 'exits')

  // Sets the database up.
  const first = await startService(t, folder, env)
  const { jobs } = await buildApp(t, { DATABASE_URL, ROLE: 'web' }, fastify => fastify.jobs.define({ name: 'exits', payload: Type.Object({}), retry: { limit: 1, delaySeconds: 0 }, handler: async () => {} }))
  await jobs.send('exits', {})
  t.equal((await first.ended()).code, 3)
  // As a process manager does.
  const second = await startService(t, folder, env, 200, 'kit/serve')
  t.equal((await second.ended()).code, 3)
  const third = await startService(t, folder, env, 200, 'kit/serve')
  await until(async () => (await dead()).length === 1)
  t.match(await dead(), [{ reason: /heartbeat|stalled/ }])
  await jobs.send('confirm-order', { orderId: randomUUID() })
  await until(async () => (await storedJobs({ databaseUrl: DATABASE_URL }, 'confirm-order')).some(({ state }) => state === 'completed'))
  t.equal((await third.stop()).code, 0)
})
