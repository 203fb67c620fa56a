// What the server in front of the one backend has to know about a client's
// messages, because all clients share that backend's session.
import { message, query } from './wire.ts'

const NUL = Buffer.from([0])

/** A message rewritten to use the client's own names, and the name it defines or drops. */
export interface Renamed { bytes: Buffer, defines?: string, drops?: string }

/**
 * Puts `prefix` before the name of a prepared statement in Parse, Bind, Describe
 * and Close, so that two clients may use one name. The unnamed statement stays.
 */
export function renameStatement (bytes: Buffer, prefix: string): Renamed {
  const type = String.fromCharCode(bytes[0] ?? 0)
  if (type === 'P') {
    const [name, rest] = cut(bytes, 5)
    return name === '' ? { bytes } : { bytes: message('P', prefix, name, NUL, rest), defines: prefix + name }
  }
  if (type === 'B') {
    const [portal, after] = cut(bytes, 5)
    const [name, rest] = cut(after, 0)
    return name === '' ? { bytes } : { bytes: message('B', portal, NUL, prefix, name, NUL, rest) }
  }
  if ((type === 'D' || type === 'C') && bytes[5] === 0x53) {
    const [name] = cut(bytes, 6)
    if (name === '') return { bytes }
    const renamed = message(type, 'S', prefix, name, NUL)
    return type === 'C' ? { bytes: renamed, drops: prefix + name } : { bytes: renamed }
  }
  return { bytes }
}

const COPY_IN = /(?:^|;)\s*copy\s[^;]*\sfrom\s+stdin\b/i
const REFUSAL = "DO $$BEGIN RAISE feature_not_supported USING MESSAGE = 'the embedded PostgreSQL can''t COPY FROM STDIN: use INSERT, or a PostgreSQL server'; END$$"

/** Puts an error in place of `COPY … FROM STDIN`: PGlite would end at once, as at the end of its input. */
export function refuseCopy (bytes: Buffer): Buffer {
  const type = bytes[0]
  if (type !== 0x51 && type !== 0x50) return bytes
  const [name, rest] = type === 0x50 ? cut(bytes, 5) : ['', bytes.subarray(5)]
  if (!COPY_IN.test(rest.toString('utf8', 0, Math.min(rest.length, 16384)))) return bytes
  return type === 0x50 ? message('P', name, NUL, REFUSAL, NUL, Buffer.alloc(2)) : query(REFUSAL)
}

/** Closes prepared statements by their full names. */
export function closeStatements (names: Iterable<string>): Buffer {
  return Buffer.concat([...names].map((name) => message('C', 'S', name, NUL)))
}

/** Traces that a statement leaves in the shared session. */
export interface Traces {
  /** SET or set_config outside a function: to be reset when the client leaves. */
  settings: boolean
  /** Names with a dot of what it sets: the catalogue doesn't list those. */
  customs: string[]
  listens: string[]
  unlistens: string[]
  /** Keys of `pg_advisory_lock(<number>)` and `pg_advisory_unlock(<number>)`. */
  locks: string[]
  unlocks: string[]
}

const CUSTOM = /(?:set_config\s*\(\s*'|(?:^|[;\0])\s*set\s+(?:session\s+)?)(\w+(?:\.\w+)+)/gi
const WORTH_A_LOOK = /\bset\b|set_config|listen|advisory/i
const IDENTIFIER = '("(?:[^"]|"")+"|[a-z_\\u0080-\\uffff][\\w$\\u0080-\\uffff]*|\\*)'

/** Finds the traces in the SQL of a Query or Parse message; undefined when there are none. */
export function findTraces (bytes: Buffer): Traces | undefined {
  const type = bytes[0]
  if (type !== 0x51 && type !== 0x50) return undefined
  // A session command is short; a long text is data.
  const sql = bytes.toString('utf8', 5, Math.min(bytes.length, 16384))
  if (!WORTH_A_LOOK.test(sql)) return undefined
  return {
    settings: /(^|[;\0])\s*set\s+(?!local\b|transaction\b|constraints\b)|set_config\s*\(/i.test(sql),
    customs: [...sql.matchAll(CUSTOM)].map(([, name = '']) => name),
    listens: names(sql, 'listen'),
    unlistens: names(sql, 'unlisten'),
    locks: keys(sql, 'pg_advisory_lock'),
    unlocks: keys(sql, 'pg_advisory_unlock')
  }
}

function names (sql: string, command: string): string[] {
  const found = sql.matchAll(new RegExp(`(?:^|[;\\0])\\s*${command}\\s+${IDENTIFIER}`, 'gi'))
  return [...found].map(([, name = '']) => name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase())
}

function keys (sql: string, name: string): string[] {
  return [...sql.matchAll(new RegExp(`\\b${name}\\s*\\(\\s*(-?\\d+)\\s*\\)`, 'gi'))].map(([, key = '']) => key)
}

function cut (bytes: Buffer, from: number): [string, Buffer] {
  const end = bytes.indexOf(0, from)
  return [bytes.toString('utf8', from, end), bytes.subarray(end + 1)]
}
