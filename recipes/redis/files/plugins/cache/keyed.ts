import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { Flights, Landing } from './flights.ts'
import type { Invalidation } from './invalidation.ts'
import type { Loads } from './loads.ts'
import type { CacheObserver, Result } from './metrics.ts'
import { LOCK_MS, type Entry, type Seen, type Store } from './store.ts'
import type { Cache, CacheDefinition, GetOptions, Load } from './types.ts'
import { Values } from './values.ts'

/** What all caches of the process share. Without a Redis there is no store. */
export interface Shared {
  shared: { store: Store, invalidation: Invalidation } | undefined
  flights: Flights
  loads: Loads
  names: Names
  observe: CacheObserver
  log: FastifyBaseLogger
  /** Bytes of JSON that a value may have. */
  maxBytes: number
  /** Takes what goes on in the background; false when the service stops. */
  inBackground: (work: () => Promise<unknown>) => boolean
}

/** The names of keys in Redis. */
export interface Names { entry: (cache: string, key: string) => string, lock: (cache: string, key: string) => string, tags: (tags: readonly string[]) => string[] }

/** Whoever waits for another process looks again after some time in between, and loads by itself in the end. */
const LOOK_AGAIN_MS = { first: 10, most: 200 }
const WAIT_MS = 5_000
/** After a refresh that failed there is none for a while: not every get is to try again. */
const REST_MS = 1_000
/** So often something may come in between. */
const ROUNDS = 10

export class KeyedCache<Schema extends TSchema> implements Cache<Static<Schema>> {
  readonly #name: string
  readonly #storedName: string
  readonly #life: { ttl: number, staleFor: number }
  readonly #with: Shared
  readonly #values: Values<Static<Schema>>
  /** By key, who looks again for all of this process that wait. */
  readonly #leads = new Map<string, Promise<void>>()

  constructor ({ name, value, version = 1, ttl, staleFor = 0, noneTtl = 0 }: CacheDefinition<Schema>, shared: Shared) {
    this.#name = name
    this.#storedName = `${name}:${createHash('sha256').update(JSON.stringify([version, value])).digest('hex').slice(0, 8)}`
    this.#life = { ttl, staleFor }
    this.#values = new Values(value, { name, ttl, staleFor, noneTtl }, shared)
    this.#with = shared
  }

  async get (key: string, load: Load<Static<Schema>>, { tags = [] }: GetOptions = {}): Promise<Static<Schema> | null> {
    const { names, loads, flights } = this.#with
    const name = names.entry(this.#storedName, key)
    loads.check(name)
    const { ttl, staleFor } = this.#life
    const entry: Entry = { key: name, lock: names.lock(this.#storedName, key), tags: names.tags(tags), staleFor, life: ttl + staleFor }
    const until = performance.now() + WAIT_MS
    let pause = LOOK_AGAIN_MS.first
    let endLead: (() => void) | undefined
    try {
      for (let round = 0; round < ROUNDS;) {
        const seen = await this.#look(entry)
        if (seen === undefined) break
        if (seen.state !== 'wait') {
          endLead?.()
          const kept = this.#values.read(seen.json)
          if (kept !== undefined && seen.state !== 'load') {
            if (seen.state === 'refresh') this.#refresh(entry, seen, load)
            this.#count(seen.state === 'hit' ? 'hit' : 'stale')
            return kept.value
          }
          if (seen.state !== 'load') this.#values.isInvalid()
          if (seen.state === 'load' || seen.state === 'refresh') return (await this.#load(entry, seen, load)).value
          // Nobody else can read it either.
          if (!await this.#with.shared?.store.delete(entry.key)) break
          round++
          continue
        }
        const flight = flights.of<Static<Schema> | null>(entry.key)
        if (flight !== undefined) {
          endLead?.()
          const { value, isCurrent } = await flight
          if (isCurrent) {
            this.#count('shared')
            return value
          }
          round++
          continue
        }
        if (performance.now() > until) break
        const lead = endLead === undefined ? this.#leads.get(entry.key) : undefined
        if (lead !== undefined) {
          await lead
          continue
        }
        endLead ??= this.#lead(entry.key)
        await sleep(pause * (0.5 + Math.random()))
        pause = Math.min(pause * 2, LOOK_AGAIN_MS.most)
      }
      const direct = flights.of<Static<Schema> | null>(entry.key) ?? this.#loadAlone(entry, load)
      endLead?.()
      this.#count('direct')
      return (await direct).value
    } finally {
      endLead?.()
    }
  }

  /** Takes the lead in looking again. Gives what ends that. */
  #lead (key: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#leads.set(key, promise)
    return () => {
      if (this.#leads.get(key) === promise) this.#leads.delete(key)
      resolve()
    }
  }

  async #look (entry: Entry): Promise<Seen | undefined> {
    const { shared } = this.#with
    if (shared === undefined || !shared.invalidation.isTrusted(entry.tags)) return undefined
    const seen = await shared.store.look(entry)
    if (seen?.isBad) this.#values.isInvalid()
    return seen
  }

  /** Loads in the background what is stale. */
  #refresh (entry: Entry, seen: Seen, load: Load<Static<Schema>>): void {
    const { inBackground, log } = this.#with
    const work = async () => await this.#load(entry, seen, load, { isRefresh: true }).catch(error => log.warn({ err: error, cache: this.#name }, 'a stale value can\'t be loaded anew'))
    inBackground(work)
  }

  /** Loads what nobody else does, and keeps it. */
  async #load (entry: Entry, seen: Seen, load: Load<Static<Schema>>, { isRefresh = false } = {}): Promise<Landing<Static<Schema> | null>> {
    const store = this.#with.shared?.store
    if (!isRefresh) this.#count('miss')
    return await this.#with.flights.start(entry.key, entry.tags, async () => {
      const renewal = setInterval(() => { void store?.hold(entry, seen) }, LOCK_MS / 3)
      try {
        const value = await this.#timed(entry, load)
        const stored = await store?.store(entry, seen, ...this.#values.toStore(value))
        if (stored === 'lost' || stored === 'outdated') this.#with.observe.fault(this.#name, stored)
        return { value, isCurrent: stored === 'stored' || stored === undefined }
      } catch (error) {
        await store?.hold(entry, seen, isRefresh ? REST_MS : 0)
        throw error
      } finally {
        clearInterval(renewal)
      }
    })
  }

  /** Loads without a Redis; who asks meanwhile waits for the same. */
  #loadAlone (entry: Entry, load: Load<Static<Schema>>): Promise<Landing<Static<Schema> | null>> {
    return this.#with.flights.start(entry.key, entry.tags, async () => ({ value: await this.#timed(entry, load), isCurrent: true }))
  }

  async #timed (entry: Entry, load: Load<Static<Schema>>): Promise<Static<Schema> | null> {
    const { loads, observe } = this.#with
    const end = observe.load(this.#name)
    try {
      const value = await loads.run(entry.key, load) ?? null
      end(value === null ? 'none' : 'done')
      return value
    } catch (error) {
      end('failed')
      throw error
    }
  }

  #count (result: Result): void {
    this.#with.observe.got(this.#name, result)
  }
}
