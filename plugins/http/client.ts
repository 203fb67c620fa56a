import { randomUUID } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import type { lookup } from 'node:dns'
import type { FastifyBaseLogger } from 'fastify'
import type { TSchema } from 'typebox'
import { Agent } from 'undici'
import type { Config } from '../config/index.ts'
import { checkedLookup, publicAddresses, readUrl } from './addresses.ts'
import { HttpCallError } from './errors.ts'
import { exchange, parsed, type Exchange } from './exchange.ts'
import { headersOf } from './headers.ts'
import { Limit } from './limit.ts'
import { Origins, type Origin } from './origins.ts'
import { withRetries } from './retry.ts'
import { misfit } from './schema.ts'
import type { CallOrigin, HttpAnswer, HttpCall } from './types.ts'

export interface ClientOptions {
  config: Readonly<Config>
  log: FastifyBaseLogger
  /** Stands in for the system's resolver, for URLs of users. */
  resolve?: typeof lookup | undefined
}

export interface Client {
  call: (call: HttpCall & { schema?: TSchema }, origin: CallOrigin) => Promise<HttpAnswer<unknown>>
  /** Method and origin of the calls under way. */
  names: () => string[]
  /** Ends all connections, and with them all calls. */
  destroy: () => Promise<void>
}

/** What became of each call: `{ origin, outcome, durationMs }`, for metrics. */
const calls = channel('keel:http-call')
const CONNECT_TIMEOUT_MS = 3_000
const MAX_BYTES = 1024 * 1024
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** The client itself, on undici. What it knows of origins is in the memory of this process. */
export function createClient ({ config, log, resolve }: ClientOptions): Client {
  const isAllowed = publicAddresses(config.HTTP_UNTRUSTED_ALLOW)
  const untrusted = { isAllowed, allowsHttp: config.NODE_ENV !== 'production' }
  // A connection for each call under way, no more. Time-outs are those of the call.
  const agentOf = (connect: object) => new Agent({ allowH2: false, connections: config.HTTP_ORIGIN_CONCURRENCY, headersTimeout: 0, bodyTimeout: 0, connect: { timeout: CONNECT_TIMEOUT_MS, ...connect } })
  const agents = { trusted: agentOf({}), untrusted: agentOf({ lookup: checkedLookup(isAllowed, resolve) }) }
  const origins = new Origins(config.HTTP_ORIGIN_CONCURRENCY, log)
  const underWay = new Set<{ name: string }>()

  async function call (call: HttpCall & { schema?: TSchema }, from: CallOrigin): Promise<HttpAnswer<unknown>> {
    const { method = 'GET', isUntrusted = false, schema, maxBytes = MAX_BYTES, idempotent: isIdempotent = IDEMPOTENT.has(method) } = call
    const url = readUrl(call.url, isUntrusted ? untrusted : undefined)
    const name = `${method} ${url.origin}`
    const body = call.json === undefined ? call.body : JSON.stringify(call.json)
    const key = isIdempotent && !IDEMPOTENT.has(method) ? randomUUID() : undefined
    const origin = origins.of(url.origin, isUntrusted)
    const dispatcher = isUntrusted ? agents.untrusted : agents.trusted
    const limit = new Limit(name, { deadline: call.deadline ?? from.deadline, signal: call.signal }, call.timeoutMs ?? config.HTTP_TIMEOUT_MS)
    const entry = { name }
    const began = performance.now()
    let outcome = 'done'
    underWay.add(entry)
    try {
      const answer = await withRetries(async () => {
        return await guarded(origin, name, limit.signal, async () => {
          const request: Exchange = { name, url, method, body, maxBytes, signal: limit.signal, headers: headersOf(call, from, { key, remainingMs: limit.remainingMs() }) }
          return await exchange(dispatcher, request)
        })
      }, { isIdempotent, budget: origin.budget, limit })
      return schema === undefined ? answer : { ...answer, body: fitting(schema, answer.body, name) }
    } catch (error) {
      outcome = error instanceof HttpCallError ? error.code : 'ABORTED'
      throw error
    } finally {
      underWay.delete(entry)
      limit.end()
      // Users can name any number of origins: as a label they are one.
      if (calls.hasSubscribers) calls.publish({ origin: isUntrusted ? 'untrusted' : url.origin, outcome, durationMs: performance.now() - began })
    }
  }

  return {
    call,
    names: () => [...underWay].map(({ name }) => name),
    destroy: async () => { await Promise.all([agents.trusted.destroy(), agents.untrusted.destroy()]) }
  }
}

/** An attempt within the bulkhead and the circuit breaker of its origin. */
async function guarded<T> ({ places, circuit }: Origin, name: string, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  if (places.isFull) throw new HttpCallError('BULKHEAD_FULL', `${name}: too many calls are under way`)
  await places.take(signal)
  try {
    return await circuit.run(name, attempt)
  } finally {
    places.leave()
  }
}

function fitting (schema: TSchema, body: Buffer, name: string): unknown {
  const value = parsed(body)
  if (value === undefined) throw new HttpCallError('UPSTREAM_INVALID', `${name}: the answer is not JSON`)
  const fault = misfit(schema, value)
  if (fault !== undefined) throw new HttpCallError('UPSTREAM_INVALID', `${name}: the answer does not fit its schema: ${fault}`)
  return value
}
