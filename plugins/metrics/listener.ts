import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { rawProblem } from '../../server/raw-problem.ts'
import { holdsToken } from '../config/token.ts'
import { statusProblem } from '../errors/catalogue.ts'

/** For so long a scrape that is under way holds the end up. */
const CLOSE_MS = 1_000

/**
 * Answers /metrics on a port of its own, and nothing else there.
 * @returns what closes it
 * @throws Error that says which port it can't have
 */
export async function listen (fastify: FastifyInstance, port: number): Promise<() => Promise<void>> {
  const { config, metrics, log } = fastify

  async function answer ({ method = '', url = '', headers: { accept, authorization } }: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, extra: Record<string, string> = {}) => {
      const { headers, body } = rawProblem(statusProblem(status), fastify, randomUUID())
      response.writeHead(status, { ...headers, ...extra }).end(body)
    }
    if (url.split('?', 1)[0] !== '/metrics') return refuse(404)
    if (method !== 'GET' && method !== 'HEAD') return refuse(405, { allow: 'GET, HEAD' })
    if (config.METRICS_TOKEN !== undefined && !holdsToken(authorization, config.METRICS_TOKEN)) return refuse(401, { 'www-authenticate': 'Bearer' })
    const { type, text } = await metrics.scrape(accept)
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' }).end(method === 'HEAD' ? undefined : text)
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(error => {
      log.error({ err: error }, 'the metrics can\'t be written')
      response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, config.HOST, resolve)).catch((error: NodeJS.ErrnoException) => {
    throw new Error(error.code === 'EADDRINUSE' ? `METRICS_PORT ${port} on ${config.HOST} is in use: stop what listens there, or set another.` : `The metrics can't be had on METRICS_PORT ${port} (${error.code}).`, { cause: error })
  })
  log.info(`Metrics: port ${port}`)
  return async () => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
    await new Promise(resolve => server.close(resolve))
    clearTimeout(timer)
  }
}
