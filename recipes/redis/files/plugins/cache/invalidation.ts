import type { FastifyBaseLogger } from 'fastify'
import type { Store } from './store.ts'

const RETRY_MS = 1_000
/** When more tags wait than this, everything is ended instead. */
const MAX_PENDING = 10_000
const PER_COMMAND = 500

/** Ends values by their tags; what Redis can't be told now it is told when it is back. */
export class Invalidation {
  readonly #store: Store
  readonly #all: readonly string[]
  readonly #log: FastifyBaseLogger
  readonly #pending = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #isTelling = false
  /** How often something was found that Redis could not be told. */
  #missed = 0

  /** @param all what everything has as a tag */
  constructor (store: Store, all: readonly string[], log: FastifyBaseLogger) {
    this.#store = store
    this.#all = all
    this.#log = log
    store.onReady(() => { void this.#tell() })
  }

  get pending (): number {
    return this.#pending.size
  }

  /** Whether what Redis has under these tags counts. */
  isTrusted (tags: readonly string[]): boolean {
    return this.#pending.size === 0 || !tags.some(tag => this.#pending.has(tag))
  }

  /** @returns whether Redis has been told */
  async end (tags: readonly string[]): Promise<boolean> {
    if (await this.#delete(tags)) return true
    if (this.#pending.size === 0) this.#log.warn('Redis can\'t be told what is invalid: it is told when it is back, until then this process reads none of it')
    this.#missed++
    for (const tag of tags) this.#pending.add(tag)
    if (this.#pending.size > MAX_PENDING) {
      this.#pending.clear()
      for (const tag of this.#all) this.#pending.add(tag)
    }
    this.#timer ??= setInterval(() => { void this.#tell() }, RETRY_MS).unref()
    return false
  }

  close (): void {
    clearInterval(this.#timer)
    if (this.#pending.size > 0) this.#log.error({ tags: [...this.#pending].slice(0, 20), count: this.#pending.size }, 'stopping before Redis could be told what is invalid: it counts there until its time is over')
  }

  async #tell (): Promise<void> {
    if (this.#pending.size === 0 || this.#isTelling) return
    this.#isTelling = true
    const missed = this.#missed
    const isTold = await this.#delete([...this.#pending])
    this.#isTelling = false
    // What was missed meanwhile may be the same tags again.
    if (!isTold || missed !== this.#missed) return
    this.#pending.clear()
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#log.info('Redis has been told what was invalidated while it was away')
  }

  async #delete (tags: readonly string[]): Promise<boolean> {
    for (let at = 0; at < tags.length; at += PER_COMMAND) {
      if (!await this.#store.delete(...tags.slice(at, at + PER_COMMAND))) return false
    }
    return true
  }
}
