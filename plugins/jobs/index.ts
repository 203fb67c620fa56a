import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Origin } from '../../server/trace.ts'
import { within } from '../../server/within.ts'
import { driver } from './chosen.ts'
import { completeDefinition } from './definition.ts'
import { createRunner } from './runner.ts'
import { InvalidPayloadError, JobsUnavailableError, type Job, type JobSender, type Jobs, type SendOptions } from './types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Background jobs. */
    jobs: Jobs
  }
}

const SEND_WAIT_MS = 5_000
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
/** Before the end of the grace at shutdown, for jobs whose signal fires. */
const HAND_BACK_MS = 2_000

/** Sends jobs, and unless ROLE is `web` runs them. */
async function jobs (fastify: FastifyInstance) {
  const { config, log, prisma, databaseUrl, probeDatabase, shutdown } = fastify
  const works = config.ROLE !== 'web'
  const defined = new Map<string, Job>()
  let ready = false

  const runner = createRunner({ log, system: driver.name, sender: senderOf })
  const backend = driver.open({ config, databaseUrl, prisma, probe: probeDatabase, log, works, jobs: defined, run: runner.run })

  function senderOf (origin: Origin): JobSender {
    return { send: (name, payload, options) => send(origin, name, payload, options) }
  }

  async function send (origin: Origin, name: string, payload: object, { tx, ...options }: SendOptions = {}): Promise<string | null> {
    const job = defined.get(name)
    if (!job) throw new Error(`There is no job "${name}".`)
    const misfit = job.check(payload)
    if (misfit !== undefined) throw new InvalidPayloadError(`The job "${name}" can't be sent: ${misfit}`)
    if (options.singletonKey !== undefined && job.policy === 'standard') throw new Error(`The job "${name}" has no policy that a singletonKey counts for.`)
    if (options.singletonKey === undefined && job.policy === 'key_strict_fifo') throw new Error(`The job "${name}" needs a singletonKey: its policy keeps the order of each.`)
    if (options.startAfter !== undefined && !Number.isFinite(Number(options.startAfter))) throw new RangeError(`The job "${name}" can't be sent: startAfter is no time.`)
    if (options.id !== undefined && !UUID.test(options.id)) throw new RangeError(`The job "${name}" can't be sent: its id is no UUID.`)
    // As the database has it, and what an operator reads in the log.
    const id = options.id?.toLowerCase()
    await soon(backend.connected())
    return await backend.send(job, { id: id ?? randomUUID(), payload, ...origin }, id === undefined ? options : { ...options, id }, tx ?? prisma)
  }

  fastify.decorate('jobs', {
    define: definition => {
      if (ready) throw new Error(`The job "${definition.name}" is declared too late: jobs are declared before the service is ready.`)
      if (defined.has(definition.name)) throw new Error(`The job "${definition.name}" is declared twice.`)
      defined.set(definition.name, completeDefinition(definition))
    },
    send: (name, payload, options) => send({}, name, payload, options),
    for: async ({ origin }) => {
      await soon(backend.connected())
      return senderOf(origin)
    },
    names: () => [...defined.keys()],
    queues: backend.queues,
    backlog: backend.backlog,
    drained: runner.drained
  })

  fastify.addHook('onReady', async () => {
    ready = true
    if (fastify.hasDecorator('addHealthCheck')) fastify.addHealthCheck('jobs', health)
    if (!works || defined.size === 0) return
    await driver.check(defined.values(), config)
    void backend.keep()
  })

  async function health (): Promise<{ ok: boolean, detail?: string }> {
    const detail = await backend.problem()
    return detail === undefined ? { ok: true } : { ok: false, detail }
  }

  // Requests under way may still send while what runs has its time to finish, or to heed its signal and be handed back.
  fastify.addHook('preClose', async () => {
    backend.stop()
    runner.stop(Math.max(shutdown.remainingMs() - HAND_BACK_MS, shutdown.remainingMs() / 2))
  })
  shutdown.watch('jobs', runner.names)
  fastify.addHook('onClose', async () => {
    await runner.drained()
    await backend.close()
  })
}

/** A request does not wait for a database that is away. */
async function soon<T> (promise: Promise<T>): Promise<T> {
  return await within(promise, SEND_WAIT_MS, () => { throw new JobsUnavailableError('Jobs can\'t be sent: there is no connection yet.') })
}

export type { JobSender, Jobs, RunningJob, SendOptions } from './types.ts'
export default fp(jobs, { name: 'jobs', dependencies: ['config', 'database', 'shutdown'] })
