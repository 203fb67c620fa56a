import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { Prisma, type PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction, type Database } from './database.ts'
import { DomainError } from './errors.ts'
import { accountOf, type IdentityPolicy, type Profile } from './identities.ts'
import { createToken } from './refresh-tokens.ts'
import type { Session } from './sessions.ts'

/** What the two ends of a sign-in at an issuer have in common. */
interface Secrets { state: string, nonce: string, codeVerifier: string }

/** An OpenID issuer. What it throws has a `reason`. */
export interface Issuer {
  authorizationUrl: (secrets: Secrets) => Promise<URL>
  redeem: (search: string, secrets: Secrets, signal: AbortSignal) => Promise<Profile>
}

/** Where what went wrong is said that no caller is told of. */
export interface Log { warn: (details: object, message: string) => void }

/** Who wants to sign in: from which browser, and where the page is that gets the code, which only who knows the secret of `challenge` can use. */
export interface Beginning { browser: string, returnTo: URL, challenge: string }

interface Begun { nonce: string, codeVerifier: string, returnTo: string, challenge: string }

/** So long people may take at the issuer. */
export const SIGN_IN_MS = 600_000
/** So long a page may take to exchange its code. */
const CODE_MS = 60_000
const SWEEP = 20
const RETRY_SECONDS = 2

/**
 * Begins a sign-in. Nothing of it is in this process: any may go on.
 * @returns where to send the browser
 * @throws DomainError ISSUER_UNAVAILABLE
 */
export async function beginSignIn (db: Database, issuer: Issuer, { browser, returnTo, challenge }: Beginning): Promise<URL> {
  const secrets = { state: secret(), nonce: secret(), codeVerifier: secret() }
  const url = await issuer.authorizationUrl(secrets).catch(error => { throw refusal(error) ?? error })
  const { nonce, codeVerifier } = secrets
  await db.signIn.create({
    data: { stateHash: digest(secrets.state), browserHash: digest(browser), nonce, codeVerifier, returnTo: returnTo.href, challenge, expiresAt: new Date(Date.now() + SIGN_IN_MS) },
    select: { expiresAt: true }
  })
  await sweep(db, Prisma.sql`sign_ins`)
  return url
}

/**
 * Ends a sign-in at the issuer, once: the page that it returns to gets a code, or why there is none.
 * @param search the query with which the browser came back
 * @returns where to send the browser
 * @throws DomainError UNKNOWN_SIGN_IN when this browser has not begun it, it was ended before, or took too long
 */
export async function finishSignIn (prisma: PrismaClient, issuer: Issuer, { search, browser, signal, log }: { search: string, browser: string | undefined, signal: AbortSignal, log: Log }, policy: IdentityPolicy): Promise<URL> {
  const state = new URLSearchParams(search).get('state') ?? ''
  const begun = browser === undefined ? undefined : await spend(prisma, state, browser)
  if (begun === undefined) throw new DomainError('UNKNOWN_SIGN_IN', 'This browser has not begun to sign in, has done so already, or took too long: begin again.')
  const { returnTo, challenge, nonce, codeVerifier } = begun
  try {
    const profile = await issuer.redeem(search, { state, nonce, codeVerifier }, signal)
    const { userId } = await accountOf(prisma, profile, policy, signal)
    return withFragment(returnTo, { code: await createCode(prisma, userId, challenge) })
  } catch (error) {
    const refused = error instanceof DomainError ? error : refusal(error)
    if (refused === undefined) throw error
    const { message: reason, cause } = error as Error
    log.warn({ code: refused.code, reason, cause: (cause as Error | undefined)?.message }, refused.message)
    return withFragment(returnTo, { error: refused.code })
  }
}

/**
 * Exchanges a code for a session, once: also the wrong secret spends it.
 * @param verifier the secret whose SHA-256 the challenge was
 * @param ttl of the refresh token, in milliseconds
 * @throws DomainError INVALID_SIGN_IN_CODE
 */
export async function exchangeCode (prisma: PrismaClient, { code, verifier }: { code: string, verifier: string }, ttl: number): Promise<Session> {
  const [row] = await prisma.$queryRaw<{ userId: string, challenge: string, isCurrent: boolean }[]>`
    DELETE FROM sign_in_codes WHERE code_hash = ${digest(code)} RETURNING user_id AS "userId", challenge, expires_at > now() AS "isCurrent"`
  if (row === undefined || !row.isCurrent || row.challenge !== challengeOf(verifier)) throw invalidCode()
  return await inTransaction(prisma, async tx => {
    const user = await tx.user.findUnique({ where: { id: row.userId }, select: { id: true, role: true } })
    if (user === null) throw invalidCode()
    const id = randomUUID()
    return { id, user, refreshToken: await createToken(tx, { userId: user.id, familyId: id, startedAt: new Date() }, ttl) }
  })
}

/** Of several that come with the same state at once, one gets the row; another browser leaves it where it is. */
async function spend (db: Database, state: string, browser: string): Promise<Begun | undefined> {
  const [row] = await db.$queryRaw<(Begun & { isCurrent: boolean })[]>`
    DELETE FROM sign_ins WHERE state_hash = ${digest(state)} AND browser_hash = ${digest(browser)}
    RETURNING nonce, code_verifier AS "codeVerifier", return_to AS "returnTo", challenge, expires_at > now() AS "isCurrent"`
  return row?.isCurrent ? row : undefined
}

async function createCode (db: Database, userId: string, challenge: string): Promise<string> {
  const code = secret()
  await db.signInCode.create({ data: { codeHash: digest(code), userId, challenge, expiresAt: new Date(Date.now() + CODE_MS) }, select: { userId: true } })
  await sweep(db, Prisma.sql`sign_in_codes`)
  return code
}

/** A new row takes some old ones away: the tables do not grow for ever. */
async function sweep (db: Database, table: Prisma.Sql): Promise<void> {
  await db.$executeRaw`DELETE FROM ${table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM ${table} WHERE expires_at < now() LIMIT ${SWEEP} FOR UPDATE SKIP LOCKED))`
}

/** What the domain says of an issuer's failure; undefined where it is none. */
function refusal (error: unknown): DomainError | undefined {
  switch ((error as { reason?: unknown }).reason) {
    case 'denied': return new DomainError('SIGN_IN_DENIED', 'The sign-in was cancelled, or the issuer refused it.')
    case 'failed': return new DomainError('SIGN_IN_FAILED', 'The answer of the issuer cannot be trusted.')
    case 'unavailable': return new DomainError('ISSUER_UNAVAILABLE', 'The issuer cannot be had now.', [], { retryAfter: RETRY_SECONDS })
    default: return undefined
  }
}

/** Behind `#`: browsers send it to nobody. */
function withFragment (returnTo: string, values: Record<string, string>): URL {
  const url = new URL(returnTo)
  url.hash = new URLSearchParams(values).toString()
  return url
}

function invalidCode (): DomainError {
  return new DomainError('INVALID_SIGN_IN_CODE', 'The code is unknown, spent or expired, or not for whoever sent it: sign in again.')
}

/** As PKCE has it (RFC 7636, 4.2: S256). */
function challengeOf (verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

function secret (): string {
  return randomBytes(32).toString('base64url')
}

// They are 256 random bits, or meant to be: a plain hash can't be guessed back.
function digest (text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(text).digest())
}
