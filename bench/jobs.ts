// Background jobs through one worker process with a handler that does nothing:
// `node bench/jobs.ts [JOBS]`, on the embedded database; with BENCH_DATABASE_URL (an empty
// database) on that server. Throughput is from the first job's start to the last one's
// settlement, the queue being full beforehand; latency from before the job is sent, on an idle
// queue, to the begin of its handler; send is the time of sending alone.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import app from '../app.ts'
import { loadConfig } from '../plugins/config/index.ts'
import { driver } from '../plugins/jobs/chosen.ts'
import { createEphemeral } from '../prisma/engine/embedded.ts'
import { applyMigrations } from '../prisma/migrate.ts'
import { serverOptions } from '../server.ts'
import { quantile } from './statistics.ts'
import { newPrivateKey } from '../test/helpers/keys.ts'

const count = Number(process.argv[2] ?? 20_000)
const LATENCIES = 200
const embedded = process.env.BENCH_DATABASE_URL ? undefined : await createEphemeral()
const DATABASE_URL = process.env.BENCH_DATABASE_URL ?? embedded?.url ?? ''
await applyMigrations(DATABASE_URL)
await driver.storage.apply(DATABASE_URL)

let started = 0
let firstAt = 0
let begin: (at: number) => void = () => {}
const fastify = await build()
const { prisma, jobs } = fastify

// One that is sent and run: the worker is there. Then idle for its first rounds.
await begun(() => jobs.send('bench', { n: 0 }))
await sleep(3_000)
const latencies: number[] = []
const sends: number[] = []
for (let n = 0; n < LATENCIES; n++) {
  const sentAt = performance.now()
  const startedAt = await begun(async () => {
    await jobs.send('bench', { n })
    sends.push(performance.now() - sentAt)
  })
  latencies.push(startedAt - sentAt)
  await sleep(20)
}

// Filled at once, so that the worker finds them all.
started = 0
firstAt = 0
await prisma.$executeRaw`
  INSERT INTO pgboss.job (name, data, dead_letter, heartbeat_seconds)
  SELECT 'bench', jsonb_build_object('payload', jsonb_build_object('n', n)), 'bench.dead', 10 FROM generate_series(1, ${count}) n`
await jobs.send('bench', { n: -1 })
while (await open() > 0) await sleep(20)
const seconds = (performance.now() - firstAt) / 1000

const at = (values: number[], part: number) => quantile(values, part).toFixed(1)
process.stdout.write(`${embedded ? 'embedded' : 'PostgreSQL'}: ${started} jobs in ${seconds.toFixed(2)} s, ${Math.round(started / seconds)} jobs/s; latency when idle p50 ${at(latencies, 0.5)} ms, p99 ${at(latencies, 0.99)} ms; send p50 ${at(sends, 0.5)} ms\n`)
await fastify.close()
await embedded?.close()

async function build (): Promise<FastifyInstance> {
  const privateKey = newPrivateKey()
  const config = loadConfig({ NODE_ENV: 'test', LOG_LEVEL: 'warn', ROLE: 'all', DATABASE_URL, JWT_PRIVATE_KEY: privateKey })
  const fastify = Fastify(serverOptions(config)) as unknown as FastifyInstance
  await fastify.register(app, { config })
  fastify.jobs.define({
    name: 'bench',
    payload: Type.Object({ n: Type.Integer() }),
    concurrency: 500,
    batch: 250,
    handler: async () => {
      started++
      firstAt ||= performance.now()
      begin(performance.now())
    }
  })
  await fastify.ready()
  return fastify
}

/** When the handler began, after `send`. */
async function begun (send: () => Promise<unknown>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  begin = resolve
  await send()
  return await promise
}

async function open (): Promise<number> {
  const [row] = await prisma.$queryRaw<{ n: number }[]>`SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'bench' AND state < 'completed'`
  return row?.n ?? 0
}
