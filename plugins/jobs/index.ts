import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Origin } from '../../server/trace.ts'
import { within } from '../../server/within.ts'
import { createConnection } from './connection.ts'
import { backlog, countQueues } from './counts.ts'
import { completeDefinition } from './definition.ts'
import type { Envelope } from './envelope.ts'
import { checkSchedules, syncQueues, syncSchedules } from './queues.ts'
import { createRunner } from './runner.ts'
import { jobsSchema, jobsSchemaState } from './schema.ts'
import { InvalidPayloadError, JobsUnavailableError, type Job, type JobSender, type Jobs, type SendOptions } from './types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Background jobs, on pg-boss in the service's own database. */
    jobs: Jobs
  }
}

const SEND_WAIT_MS = 5_000
/** Before the end of the grace at shutdown, for jobs whose signal fires. */
const HAND_BACK_MS = 2_000

/** Sends jobs, and unless ROLE is `web` runs them. */
async function jobs (fastify: FastifyInstance) {
  const { config, log, prisma, databaseUrl, probeDatabase, shutdown } = fastify
  const schema = jobsSchema(databaseUrl)
  const works = config.ROLE !== 'web'
  const defined = new Map<string, Job>()
  let ready = false

  const runner = createRunner({ log, schema, sender: senderOf })
  const connection = createConnection({
    url: databaseUrl,
    schema,
    works,
    log,
    prepare: async boss => {
      await syncQueues(boss, defined.values(), log)
      if (!works) return
      await syncSchedules(boss, defined, log)
      for (const job of defined.values()) await runner.work(boss, job)
    }
  })

  function senderOf (origin: Origin): JobSender {
    return { send: (name, payload, options) => send(origin, name, payload, options) }
  }

  async function send (origin: Origin, name: string, payload: object, { tx, startAfter, id = randomUUID(), ...rest }: SendOptions = {}): Promise<string | null> {
    const job = defined.get(name)
    if (!job) throw new Error(`There is no job "${name}".`)
    const misfit = job.check(payload)
    if (misfit !== undefined) throw new InvalidPayloadError(`The job "${name}" can't be sent: ${misfit}`)
    if (rest.singletonKey !== undefined && job.policy === 'standard') throw new Error(`The job "${name}" has no policy that a singletonKey counts for.`)
    if (rest.singletonKey === undefined && job.policy === 'key_strict_fifo') throw new Error(`The job "${name}" needs a singletonKey: its policy keeps the order of each.`)
    const boss = await soon(connection.get())
    const data: Envelope = { id, payload, ...origin }
    const db = tx ?? prisma
    return await boss.send(name, data, {
      id,
      ...rest,
      ...startAfter === undefined ? {} : { startAfter: typeof startAfter === 'number' ? `${startAfter} milliseconds` : startAfter },
      db: { executeSql: async (text, values = []) => ({ rows: await db.$queryRawUnsafe<object[]>(text, ...values) }) }
    })
  }

  fastify.decorate('jobs', {
    define: definition => {
      if (ready) throw new Error(`The job "${definition.name}" is declared too late: jobs are declared before the service is ready.`)
      if (defined.has(definition.name)) throw new Error(`The job "${definition.name}" is declared twice.`)
      defined.set(definition.name, completeDefinition(definition))
    },
    send: (name, payload, options) => send({}, name, payload, options),
    for: async ({ origin }) => {
      await soon(connection.get())
      return senderOf(origin)
    },
    names: () => [...defined.keys()],
    queues: () => countQueues(prisma, schema),
    backlog: () => backlog(prisma, schema),
    drained: () => runner.drained()
  })

  fastify.addHook('onReady', async () => {
    ready = true
    if (fastify.hasDecorator('addHealthCheck')) fastify.addHealthCheck('jobs', health)
    if (!works || defined.size === 0) return
    await checkSchedules(defined.values())
    void connection.keep()
  })

  async function health (): Promise<{ ok: boolean, detail?: string }> {
    const state = await jobsSchemaState(probeDatabase, schema)
    // A release that runs goes on while the next one's tables are there already.
    if (state === 'newer' && connection.problem() === undefined) return { ok: true }
    if (state === 'newer') return { ok: false, detail: 'the tables of the jobs are of a later release' }
    if (state !== 'current') return { ok: false, detail: `the tables of the jobs are ${state}: run npm run db:migrate` }
    if (!works || defined.size === 0 || connection.problem() === undefined) return { ok: true }
    return { ok: false, detail: `the jobs are not running: ${connection.problem()}` }
  }

  // Requests under way may still send while what runs has its time to finish, or to heed its signal and be handed back.
  fastify.addHook('preClose', async () => runner.stop(Math.max(shutdown.remainingMs() - HAND_BACK_MS, shutdown.remainingMs() / 2)))
  shutdown.watch('jobs', runner.names)
  fastify.addHook('onClose', async () => {
    await runner.drained()
    await connection.close()
  })
}

/** A request does not wait for a database that is away. */
async function soon<T> (promise: Promise<T>): Promise<T> {
  return await within(promise, SEND_WAIT_MS, () => { throw new JobsUnavailableError('Jobs can\'t be sent: there is no connection yet.') })
}

export type { JobSender, Jobs, RunningJob, SendOptions } from './types.ts'
export default fp(jobs, { name: 'jobs', dependencies: ['config', 'database', 'shutdown'] })
