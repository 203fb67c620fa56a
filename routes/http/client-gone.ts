import type { FastifyReply } from 'fastify'

/**
 * Aborts when the client hangs up before it has its answer. (Fastify's `request.signal` does so
 * as soon as the body has been read: `close` of the request is that, not the end of the connection.)
 */
export function clientGone ({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  raw.once('close', () => { if (!raw.writableFinished) gone.abort() })
  return gone.signal
}
