import type { BackendOptions, JobBackend, JobDriver } from '../driver.ts'
import { createConnection } from './connection.ts'
import { backlog, countQueues } from './counts.ts'
import { checkBossSchedules, syncBossSchedules, syncQueues } from './queues.ts'
import { jobsSchema, jobsSchemaState, storage } from './schema.ts'
import { createWorkers } from './workers.ts'

/** pg-boss: jobs are rows of the service's own database. */
export const driver: JobDriver = {
  name: 'pg-boss',
  check: checkBossSchedules,
  open,
  storage,
  // pg-boss takes 20 MB of memory: it is loaded when it is needed.
  admin: async (options, use) => await (await import('./admin.ts')).withJobAdmin(options.databaseUrl, use)
}

function open ({ databaseUrl: url, prisma, probe, log, works, jobs, run }: BackendOptions): JobBackend {
  const schema = jobsSchema(url)
  const workers = createWorkers({ schema, log, run })
  const connection = createConnection({
    url,
    schema,
    works,
    log,
    prepare: async boss => {
      await syncQueues(boss, jobs.values(), log)
      if (!works) return
      await syncBossSchedules(boss, jobs, log)
      for (const job of jobs.values()) await workers.work(boss, job)
    }
  })

  async function problem (): Promise<string | undefined> {
    const state = await jobsSchemaState(probe, schema)
    // A release that runs goes on while the next one's tables are there already.
    if (state === 'newer') return connection.problem() === undefined ? undefined : 'the tables of the jobs are of a later release'
    if (state !== 'current') return `the tables of the jobs are ${state}: run npm run db:migrate`
    if (!works || jobs.size === 0 || connection.problem() === undefined) return undefined
    return `the jobs are not running: ${connection.problem()}`
  }

  return {
    connected: async () => { await connection.get() },
    keep: connection.keep,
    send: async ({ name }, envelope, { startAfter, ...rest }, db) => {
      const boss = await connection.get()
      return await boss.send(name, envelope, {
        ...rest,
        id: envelope.id,
        ...startAfter === undefined ? {} : { startAfter: typeof startAfter === 'number' ? `${startAfter} milliseconds` : startAfter },
        db: { executeSql: async (text, values = []) => ({ rows: await db.$queryRawUnsafe<object[]>(text, ...values) }) }
      })
    },
    queues: () => countQueues(prisma, schema),
    backlog: () => backlog(prisma, schema),
    problem,
    stop: workers.stop,
    close: connection.close
  }
}
