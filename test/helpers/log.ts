import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import service from '../../app.ts'
import type { Config } from '../../plugins/config/index.ts'
import { serverOptions } from '../../server.ts'
import { testConfig } from './app.ts'

/** A line of the log. */
export type Line = Record<string, unknown> & { level: number, msg: string }

/** The service, ready, and what it logs. Ends with the test. */
export async function buildLogged (t: Test, overrides: Partial<Config> = {}, extend?: (fastify: FastifyInstance) => void): Promise<{ app: FastifyInstance, lines: Line[] }> {
  const lines: Line[] = []
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(JSON.parse(String(chunk))); done() } })
  const config = await testConfig({ LOG_LEVEL: 'info', ...overrides })
  const options = serverOptions(config)
  const app = Fastify({ ...options, logger: { ...options.logger as object, stream } }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(service, { config })
  extend?.(app)
  await app.ready()
  return { app, lines }
}
