import { createHash } from 'node:crypto'
import type { PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction, type Database, type Deadline } from './database.ts'
import { tryLock } from './dialect.ts'
import { DomainError } from './errors.ts'

/** A request that its sender may repeat: who sent it, for what, under which key, and what it said. `ttl` is in milliseconds. */
export interface Repeatable { userId: string, operation: string, key: string, input: unknown, ttl: number }

/** A value as it comes back from JSON. */
export type Stored<T> = T extends Date ? string : T extends object ? { [Name in keyof T]: Stored<T[Name]> } : T

/**
 * Runs `work` in a transaction; when the request has a key, once: its answer is
 * stored in the same transaction, and the same request gets it again until `ttl`
 * has passed. What fails leaves no trace and may be tried again.
 * @throws DomainError IDEMPOTENCY_IN_FLIGHT while the first is running, IDEMPOTENCY_KEY_REUSED for another input
 */
export async function once<T> (prisma: PrismaClient, request: Repeatable | undefined, work: (tx: Database) => Promise<T>, deadline?: Deadline): Promise<{ answer: T | Stored<T>, replayed: boolean }> {
  return await inTransaction(prisma, async tx => {
    if (request === undefined) return { answer: await work(tx), replayed: false }
    const { userId, operation, key, ttl } = request
    const fingerprint = digest(request.input)
    await claim(tx, request)
    const id = { userId_operation_key: { userId, operation, key } }
    const record = await tx.idempotencyRecord.findUnique({ where: id })
    if (record !== null && record.expiresAt > new Date()) {
      if (!Buffer.from(record.fingerprint).equals(fingerprint)) throw new DomainError('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key came with another request before: use a new one.')
      return { answer: record.answer as Stored<T>, replayed: true }
    }
    const answer = await work(tx)
    const stored = { fingerprint, answer: JSON.parse(JSON.stringify(answer)), createdAt: new Date(), expiresAt: new Date(Date.now() + ttl) }
    await tx.idempotencyRecord.upsert({ where: id, create: { userId, operation, key, ...stored }, update: stored, select: { key: true } })
    return { answer, replayed: false }
  }, deadline)
}

/**
 * A lock that ends with the transaction, after what it wrote can be seen: whoever
 * gets it knows that no other request with the key is running.
 */
async function claim (tx: Database, { userId, operation, key }: Repeatable): Promise<void> {
  const name = JSON.stringify([userId, operation, key])
  if (!await tryLock(tx, name)) throw new DomainError('IDEMPOTENCY_IN_FLIGHT', 'The first request with this Idempotency-Key is still running: try again in a moment.', [], { retryAfter: 1 })
}

function digest (input: unknown): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(JSON.stringify(input, sorted)).digest())
}

/** The same members in another order are the same input. */
function sorted (_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
}
