// Services that run one job more.
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { Type } from 'typebox'
import type { RunningJob } from '../../plugins/jobs/index.ts'
import type { JobDefinition } from '../../plugins/jobs/types.ts'
import { buildApp } from './app.ts'
import { buildLogged } from './log.ts'

export const Numbered = Type.Object({ n: Type.Integer() }, { additionalProperties: false })
type Job = RunningJob<{ n: number }>

let queues = 0
/** A queue of its own for a test. */
export const newQueue = () => `test-${process.pid}-${++queues}`

/** A service that runs one more job. */
export async function worker (t: Test, name: string, definition: Partial<JobDefinition<typeof Numbered>> = {}, config = {}): Promise<{ app: FastifyInstance, runs: Job[] }> {
  const runs: Job[] = []
  const app = await buildApp(t, { ROLE: 'all', ...config }, fastify => {
    const { handler = async () => {}, ...rest } = definition
    fastify.jobs.define({ name, payload: Numbered, ...rest, handler: async job => { runs.push(job); await handler(job) } })
  })
  return { app, runs }
}

/** A service that runs one more job, and what it logs. */
export async function loggingWorker (t: Test, definition: JobDefinition<typeof Numbered>, config = {}, extend?: (fastify: FastifyInstance) => void) {
  return await buildLogged(t, { ROLE: 'all', ...config }, fastify => {
    fastify.jobs.define(definition)
    extend?.(fastify)
  })
}
