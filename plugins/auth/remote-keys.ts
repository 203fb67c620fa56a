import type { FastifyBaseLogger } from 'fastify'
import { Refusal } from './bearer.ts'
import { readJwks } from './jwks.ts'
import type { PublicKey } from './keys.ts'
import type { KeySource } from './tokens.ts'

/** The keys of another issuer. */
export interface RemoteKeys extends KeySource {
  /** Fetches the keys when there are none, or they are old. Says whether there are any. */
  load: () => Promise<boolean>
  close: () => void
}

const TIMEOUT_MS = 5_000
const MAX_BYTES = 256 * 1024
/** An unknown key id makes us ask the issuer, but not again before this has passed: anyone can invent ids. */
const COOL_DOWN_MS = 30_000
/** Without any key nobody gets in: ask sooner. */
const RETRY_MS = 3_000
/** Keys of this age are fetched anew, while they go on serving: one that the issuer withdrew must go. */
const MAX_AGE_MS = 600_000

/**
 * The keys that an issuer publishes at `url`, kept until it publishes others: while it can't be
 * reached, the last ones stay good. `find` fails with 503 as long as there never were any.
 *
 * No library of this world (get-jwks, jose) does all of this: a cool-down that also counts fetches that
 * failed, keys that outlive their age in an outage, and a bound on the size of the answer.
 */
export function remoteKeys (url: string, { log, onChange, now = Date.now }: { log: FastifyBaseLogger, onChange: () => void, now?: () => number }): RemoteKeys {
  const closing = new AbortController()
  let keys = new Map<string, PublicKey>()
  let text = ''
  let askedAt = -Infinity
  let pending: Promise<void> | undefined

  function refresh (): Promise<void> {
    askedAt = now()
    pending ??= fetchText(url, closing.signal).then(received => {
      if (received === text) return
      keys = readJwks(received)
      text = received
      onChange()
      // The issuer's word: nobody is to be trusted now.
      if (keys.size === 0) log.warn({ url }, 'the token issuer publishes no usable key')
    }).catch((error: Error) => {
      if (!closing.signal.aborted) log.warn({ err: error, url }, 'the keys of the token issuer could not be fetched')
    }).finally(() => { pending = undefined })
    return pending
  }

  const waitFor = () => askedAt + (keys.size === 0 ? RETRY_MS : COOL_DOWN_MS) - now()

  async function search (kid: string): Promise<PublicKey | undefined> {
    await (pending ?? (waitFor() <= 0 ? refresh() : undefined))
    if (keys.size > 0) return keys.get(kid)
    throw new Refusal('The keys of the token issuer cannot be had now.', { statusCode: 503, retryAfter: Math.max(1, Math.ceil(waitFor() / 1000)) })
  }

  return {
    find (kid) {
      const key = keys.get(kid)
      if (key === undefined) return search(kid)
      if (now() - askedAt > MAX_AGE_MS) void refresh()
      return key
    },
    async load () {
      if (keys.size === 0) await (pending ?? (waitFor() <= 0 ? refresh() : undefined))
      else if (now() - askedAt > MAX_AGE_MS) void refresh()
      return keys.size > 0
    },
    close: () => closing.abort()
  }
}

/** The body of a 200 answer: no redirects (they could lead anywhere), bounded in time and size. */
async function fetchText (url: string, closing: AbortSignal): Promise<string> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(TIMEOUT_MS)])
  const response = await fetch(url, { redirect: 'error', signal, headers: { accept: 'application/jwk-set+json, application/json' } })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`the issuer answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > MAX_BYTES) throw new Error(`the key set is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
