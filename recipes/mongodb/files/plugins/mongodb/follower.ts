import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { BSON, MongoServerError, type ChangeStream, type ChangeStreamDocument, type Document, type ResumeToken } from 'mongodb'
import type { Prisma, PrismaClient } from '../../prisma/generated/client.ts'
import { isOutage } from '../events/outage.ts'
import { toChange, type Change } from './change.ts'
import type { MongoLink } from './link.ts'
import { move, release, take } from './position.ts'

/** Follows the changes of a collection. */
export interface ChangesDefinition {
  /** Its place is kept under this name. */
  name: string
  collection: string
  /** Handles one change. What it does through `tx` happens exactly once; anything else may happen again. */
  handler: (change: Change, tx: Prisma.TransactionClient) => Promise<void>
}

export interface FollowerOptions {
  link: MongoLink
  prisma: PrismaClient
  log: FastifyBaseLogger
}

/** How long the server waits for a change before it says that there is none. */
const AWAIT_MS = 1_000
/** How often the process that has the place says that it lives, and keeps up with changes of others. */
const SIGN_MS = 3_000
/** How often the others ask whether it does. */
const STANDBY_MS = 2_000
const PAUSE_MS = 500
const MAX_PAUSE_MS = 30_000
/** So many failures in a row are no accident. */
const ALARM = 6
const LIMITS = { maxWait: 15_000, timeout: 15_000 }
/** The server no longer has what follows the token, or never had it. */
const LOST = new Set([260, 280, 286])

class PlaceLostError extends Error {}

/**
 * Hands over the changes of a collection in their order, in one process of the deployment at a time. A change and the move
 * of the place behind it are one transaction of PostgreSQL: after a restart, or in another process, nothing is missing and
 * nothing comes twice.
 */
export class Follower {
  readonly #definition: ChangesDefinition
  readonly #options: FollowerOptions
  readonly #holder = randomUUID()
  readonly #stop = new AbortController()
  #stream: ChangeStream | undefined
  #signedAt = 0
  #failures = 0
  #running: Promise<void> | undefined

  constructor (definition: ChangesDefinition, options: FollowerOptions) {
    this.#definition = definition
    this.#options = { ...options, log: options.log.child({ changes: definition.name }) }
  }

  start (): void {
    this.#running ??= this.#run()
  }

  /** Resolves when the current change is done with. */
  async stop (): Promise<void> {
    this.#stop.abort()
    await this.#stream?.close().catch(() => {})
    await this.#running
    await release(this.#options.prisma, this.#definition.name, this.#holder).catch(() => {})
  }

  async #run (): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const waitMs = await this.#turn().catch(error => this.#failed(error))
      await this.#stream?.close().catch(() => {})
      this.#stream = undefined
      await sleep(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Hands changes over for as long as all goes well. @returns how long to wait, in milliseconds */
  async #turn (): Promise<number> {
    const { link, prisma } = this.#options
    const { name, collection } = this.#definition
    const place = await take(prisma, name, this.#holder)
    if (place === undefined) return STANDBY_MS
    this.#signedAt = performance.now()
    link.assertThere()
    const startAfter = place.token === null ? {} : { startAfter: BSON.EJSON.parse(place.token) as ResumeToken }
    const stream = link.db.collection(collection).watch<Document, ChangeStreamDocument>([], { ...startAfter, fullDocument: 'updateLookup', maxAwaitTimeMS: AWAIT_MS })
    this.#stream = stream
    let isPlaced = place.token !== null
    while (!this.#stop.signal.aborted) {
      const told = await stream.tryNext()
      if (told !== null) await this.#handle(told)
      else if (!isPlaced || performance.now() - this.#signedAt > SIGN_MS) await this.#sign(stream.resumeToken)
      isPlaced = true
      if (this.#failures > 0) this.#options.log.info('changes are followed again')
      this.#failures = 0
      // The collection was dropped or renamed: the stream has ended, and the next begins behind that.
      if (told?.operationType === 'invalidate') return 0
    }
    return 0
  }

  async #handle (told: ChangeStreamDocument): Promise<void> {
    const { prisma, log } = this.#options
    const { name, handler } = this.#definition
    const change = toChange(told)
    if (change === undefined) log.warn({ operation: told.operationType }, 'the collection itself was changed')
    await prisma.$transaction(async tx => {
      // First: it locks the place until the transaction ends.
      if (!await move(tx, name, this.#holder, BSON.EJSON.stringify(told._id))) throw new PlaceLostError()
      if (change !== undefined) await handler(change, tx)
    }, LIMITS)
    this.#signedAt = performance.now()
  }

  /** Says that this process lives, and that it has seen everything so far: the server forgets what is old. */
  async #sign (token: ResumeToken): Promise<void> {
    const { prisma } = this.#options
    const { name } = this.#definition
    if (token === undefined || token === null) await take(prisma, name, this.#holder)
    else if (!await move(prisma, name, this.#holder, BSON.EJSON.stringify(token))) throw new PlaceLostError()
    this.#signedAt = performance.now()
  }

  async #failed (error: unknown): Promise<number> {
    const { prisma, log } = this.#options
    if (this.#stop.signal.aborted) return 0
    if (error instanceof PlaceLostError) return STANDBY_MS
    if (error instanceof MongoServerError && LOST.has(Number(error.code))) {
      log.error({ err: error }, 'changes were lost: MongoDB does not have them any more. They are followed from now on')
      await move(prisma, this.#definition.name, this.#holder, null).catch(() => {})
      return PAUSE_MS
    }
    const count = ++this.#failures
    const isAway = isOutage(error) || (error as Error).name.startsWith('Mongo')
    if (count === 1) log.warn({ err: error }, isAway ? 'changes can\'t be followed now, and will be' : 'a change could not be handled, and will be tried again')
    else if (count % ALARM === 0) log.error({ err: error }, 'changes have not been followed for long: those that come wait')
    return Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** Math.min(count - 1, 10) * (0.5 + Math.random() / 2))
  }
}
