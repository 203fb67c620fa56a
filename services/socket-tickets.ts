import { createHash, randomBytes } from 'node:crypto'
import type { Database } from './database.ts'
import { DomainError } from './errors.ts'
import type { Actor } from './scopes.ts'

/** Whoever opens a WebSocket, and until when (milliseconds of Unix time). */
export interface TicketHolder extends Actor { expiresAt: number }

/** What a ticket is good for: the moment between getting it and connecting. */
const TTL_MS = 30_000
const TICKET_BYTES = 32
const TICKET = /^[\w-]{43}$/

interface Row { userId: string, scopes: string[], tokenExpiresAt: Date, expiresAt: Date }

/**
 * Makes a ticket that opens one WebSocket or event stream in the name of the holder: browsers can't
 * send a header with the request that opens it, and a token in a URL would end up in logs.
 */
export async function issueTicket (db: Database, { id, scopes, expiresAt }: TicketHolder): Promise<{ ticket: string, expiresIn: number }> {
  const ticket = randomBytes(TICKET_BYTES).toString('base64url')
  await db.socketTicket.create({
    data: { tokenHash: digest(ticket), userId: id, scopes: [...scopes], tokenExpiresAt: new Date(expiresAt), expiresAt: new Date(Date.now() + TTL_MS) },
    select: { userId: true }
  })
  return { ticket, expiresIn: TTL_MS / 1000 }
}

/**
 * Spends a ticket.
 * @throws DomainError INVALID_TICKET
 */
export async function redeemTicket (db: Database, ticket: string): Promise<TicketHolder> {
  if (!TICKET.test(ticket)) throw invalid()
  // Of several that come with the same ticket at once, one gets the row.
  const [row] = await db.$queryRaw<Row[]>`
    DELETE FROM socket_tickets WHERE token_hash = ${digest(ticket)}
    RETURNING user_id AS "userId", scopes, token_expires_at AS "tokenExpiresAt", expires_at AS "expiresAt"`
  const now = Date.now()
  if (row === undefined || row.expiresAt.getTime() <= now || row.tokenExpiresAt.getTime() <= now) throw invalid()
  return { id: row.userId, scopes: new Set(row.scopes), expiresAt: row.tokenExpiresAt.getTime() }
}

function invalid (): DomainError {
  return new DomainError('INVALID_TICKET', 'The ticket is unknown, spent or expired.')
}

// The ticket is 256 random bits: a plain hash can't be guessed back.
function digest (ticket: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(ticket).digest())
}
