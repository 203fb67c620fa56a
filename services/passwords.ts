import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { DomainError } from './errors.ts'

const derive = promisify(argon2)

/** OWASP's parameters for argon2id: memory in KiB, passes, lanes. */
const CURRENT = { memory: 19_456, passes: 2, parallelism: 1 }
const SALT_BYTES = 16
const TAG_BYTES = 32
/** Each hash takes a thread and 19 MiB: a rush of logins queues instead of taking them all. */
const AT_A_TIME = 2
/** Whoever comes behind so many would wait for seconds. */
const MAX_WAITING = 50
const RETRY_SECONDS = 2
const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

type Parameters = typeof CURRENT

/**
 * Hashes a password with argon2id. Gives a PHC string.
 * @param signal aborts when nobody waits for it any more: it loses its place in line
 * @throws DomainError TOO_BUSY
 */
export async function hashPassword (password: string, signal?: AbortSignal): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const tag = await hash(password, salt, TAG_BYTES, CURRENT, signal)
  const { memory, passes, parallelism } = CURRENT
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(tag)}`
}

/**
 * Whether a password is the one of a PHC string. Without one (no such account, or none of its own)
 * it does the same work and says no, so that time does not tell them apart.
 * @param signal aborts when nobody waits for it any more: it loses its place in line
 * @throws DomainError TOO_BUSY
 */
export async function verifyPassword (password: string, phc: string | undefined, signal?: AbortSignal): Promise<boolean> {
  if (phc === undefined) {
    await hash(password, randomBytes(SALT_BYTES), TAG_BYTES, CURRENT, signal)
    return false
  }
  const { parameters, salt, tag } = parse(phc)
  return timingSafeEqual(await hash(password, salt, tag.length, parameters, signal), tag)
}

/** Whether a hash was made with other parameters than today's: hash again at the next login. */
export function isOutdated (phc: string): boolean {
  const { parameters, tag } = parse(phc)
  return tag.length !== TAG_BYTES || Object.entries(CURRENT).some(([name, value]) => parameters[name as keyof Parameters] !== value)
}

function parse (phc: string): { parameters: Parameters, salt: Buffer, tag: Buffer } {
  const [, memory, passes, parallelism, salt = '', tag = ''] = PHC.exec(phc) ?? []
  if (tag === '') throw new Error('a stored password hash is not an argon2id PHC string')
  return {
    parameters: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt, 'base64'),
    tag: Buffer.from(tag, 'base64')
  }
}

let running = 0
const waiting = new Set<() => void>()

/** Waits for a turn. @throws DomainError TOO_BUSY when the line is too long, or nobody waits any more */
async function turn (signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) throw abandoned()
  if (running < AT_A_TIME) return void running++
  if (waiting.size >= MAX_WAITING) throw new DomainError('TOO_BUSY', 'Too many passwords are being checked at once: try again in a moment.', [], { retryAfter: RETRY_SECONDS })
  await new Promise<void>((resolve, reject) => {
    const start = () => {
      signal?.removeEventListener('abort', leave)
      resolve()
    }
    const leave = () => {
      waiting.delete(start)
      reject(abandoned())
    }
    waiting.add(start)
    signal?.addEventListener('abort', leave, { once: true })
  })
}

function abandoned (): DomainError {
  return new DomainError('TOO_BUSY', 'Nobody waits for this any more.', [], { retryAfter: RETRY_SECONDS })
}

async function hash (password: string, nonce: Buffer, tagLength: number, parameters: Parameters, signal: AbortSignal | undefined): Promise<Buffer> {
  await turn(signal)
  try {
    // NFKC: the same password typed on another keyboard is the same (NIST SP 800-63B, 3.1.1.2).
    return await derive('argon2id', { message: password.normalize('NFKC'), nonce, tagLength, ...parameters })
  } finally {
    // The turn passes to the next in line, or is free again.
    const [next] = waiting
    if (next) {
      waiting.delete(next)
      next()
    } else {
      running--
    }
  }
}

function base64 (bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
