import type { lookup } from 'node:dns'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Client } from './client.ts'
import { traceOf } from './trace.ts'
import type { CallOrigin, Http, HttpClient } from './types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Calls other services. */
    http: Http
  }
}

export interface HttpOptions {
  /** Stands in for the system's resolver, for URLs of users. */
  resolve?: typeof lookup
}

const POLL_MS = 25

/** Outgoing HTTP: bounded in time, size and number, retried where that is safe, kept from what fails. */
async function http (fastify: FastifyInstance, { resolve }: HttpOptions) {
  const { config, log, shutdown } = fastify
  let client: Promise<Client> | undefined
  let underWay = (): string[] => []

  /** Loaded with the first call: many processes never make one. */
  async function load (): Promise<Client> {
    const { createClient } = await import('./client.ts')
    const created = createClient({ config, log, resolve })
    underWay = created.names
    return created
  }

  function clientOf (origin: CallOrigin): HttpClient {
    // What it gives is of the schema, which only the types of the caller know.
    return { request: async (call: Parameters<Client['call']>[0]) => await (await (client ??= load())).call(call, origin) } as HttpClient
  }

  fastify.decorate('http', {
    ...clientOf({}),
    for: request => clientOf({ requestId: request.id, deadline: request.deadline, trace: traceOf(request) })
  })

  shutdown.watch('outgoing calls', () => underWay())
  // The requests have been answered by then; what others have under way may use what is left of the grace.
  fastify.addHook('onClose', async () => {
    const end = performance.now() + shutdown.remainingMs()
    while (underWay().length > 0 && performance.now() < end) await sleep(POLL_MS)
    await (await client)?.destroy()
  })
}

export { HttpCallError, type HttpCallCode } from './errors.ts'
export type { CallDeadline, Http, HttpAnswer, HttpCall, HttpClient } from './types.ts'
export default fp(http, { name: 'http', dependencies: ['config', 'deadline', 'shutdown'] })
