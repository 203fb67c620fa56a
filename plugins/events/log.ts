import { Prisma, type PrismaClient } from '../../prisma/generated/client.ts'
import type { Origin } from '../../server/trace.ts'

/** An event as it is kept. `id` is its position in the log, a decimal string. */
export interface StoredEvent {
  position: bigint
  type: string
  subject: string
  ownerId: string | null
  /** The request that caused it, if one did and its service said so. */
  origin: Origin | null
  /** What readers are sent: id, type, at and the event's data, as JSON; made once for all of them. */
  json: string
}

/** Whose events, those about what, and of which topic (what stands before the dot of their types); without any, all. */
export interface EventFilter { ownerId?: string, subject?: string, topic?: string }

/** What the log holds: all events after `horizon`, up to and including `last`. */
export interface LogState { horizon: bigint, last: bigint }

type Reader = Pick<PrismaClient, '$queryRaw'>
type Row = Omit<StoredEvent, 'json'> & { at: Date, data: object }

/** Reads the events after a position, oldest first, `limit` at the most. */
export async function readLog (prisma: Reader, after: bigint, limit: number, { ownerId, subject, topic }: EventFilter = {}): Promise<StoredEvent[]> {
  const owned = ownerId === undefined ? Prisma.empty : Prisma.sql`AND owner_id = ${ownerId}::uuid`
  const about = subject === undefined ? Prisma.empty : Prisma.sql`AND subject = ${subject}`
  const within = topic === undefined ? Prisma.empty : Prisma.sql`AND starts_with(type, ${`${topic}.`})`
  const rows = await prisma.$queryRaw<Row[]>`
    SELECT position, type, subject, owner_id AS "ownerId", origin, at, data FROM events
    WHERE position > ${after} ${owned} ${about} ${within} ORDER BY position LIMIT ${limit}`
  return rows.map(({ at, data, ...row }) => ({ ...row, json: toJson(row, at, data) }))
}

/** The envelope comes first, and is what it is whatever the data has. */
function toJson ({ position, type }: Pick<Row, 'position' | 'type'>, at: Date, data: object): string {
  const envelope = { id: String(position), type, at }
  return JSON.stringify({ ...envelope, ...data, ...envelope })
}

/** How far the log goes back and forth. */
export async function logState (prisma: Reader): Promise<LogState> {
  const [row] = await prisma.$queryRaw<LogState[]>`
    SELECT horizon.position AS horizon, greatest(horizon.position, coalesce((SELECT max(position) FROM events), 0)) AS last
    FROM event_horizon AS horizon`
  return row ?? { horizon: 0n, last: 0n }
}
