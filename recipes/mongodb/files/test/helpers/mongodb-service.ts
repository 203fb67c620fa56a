// A service on a MongoDB that is a stand-in without a database: what it makes of servers that are away, slow, single, or
// refuse. What MongoDB itself does is in test/routes/reviews.test.ts.
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import { buildApp } from './app.ts'
import { standIn, type StandInOptions } from './mongodb-stand-in.ts'
import { until } from './until.ts'

const METRICS_TOKEN = 'a-token-of-the-metrics'
/** What waits for it shows by hanging. */
const PATIENT = 600_000
/** Reads one document. */
export const RATING = '/ratings/0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'

/** A service that is told of a MongoDB, and what it answers. */
export async function service (t: Test, url: string | undefined, config: Partial<Config> = {}) {
  const app = await buildApp(t, { MONGODB_URL: url, MONGODB_TRANSACTIONS: 'required', MONGODB_TIMEOUT: PATIENT, METRICS_TOKEN, ...config })
  const check = async () => (await app.inject({ url: '/health/ready', headers: { authorization: `Bearer ${METRICS_TOKEN}` } })).json().checks.mongodb
  const status = async () => (await app.inject({ url: RATING })).statusCode
  return { app, check, status }
}

/** A stand-in, and a service that has found it. */
export async function connected (t: Test, options: StandInOptions = {}, config: Partial<Config> = {}) {
  const server = await standIn(t, options)
  const built = await service(t, server.url, config)
  await until(async () => (await built.check()).detail !== 'it has not answered yet')
  server.commands.length = 0
  return { ...built, server, names: () => server.commands.map(command => Object.keys(command)[0]) }
}
