// PostgreSQL's wire protocol, as far as a server in front of one shared
// backend needs it. https://www.postgresql.org/docs/18/protocol-message-formats.html

const PROTOCOL_3 = 3
const CANCEL = 80877102
const SSL = 80877103
const GSS = 80877104

/** What a client may send before its session has started. */
export type Greeting =
  | { kind: 'startup', bytes: Buffer, parameters: Map<string, string> }
  | { kind: 'encryption' }
  | { kind: 'cancel' }
  | { kind: 'unknown' }

/** Gathers a byte stream into whole messages, without copying a large one more than once. */
export class MessageReader {
  #chunks: Buffer[] = []
  #size = 0
  #need = 0

  push (chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }

  /** The next whole message (type byte and length included), or undefined. A greeting has no type byte. */
  next (greeting: boolean): Buffer | undefined {
    const header = greeting ? 4 : 5
    if (this.#size < Math.max(header, this.#need)) return undefined
    const bytes = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks)
    const length = bytes.readInt32BE(header - 4) + header - 4
    if (length < header) throw new RangeError('malformed message length')
    this.#need = length
    if (bytes.length < length) {
      this.#chunks = [bytes]
      return undefined
    }
    this.#need = 0
    this.#chunks = bytes.length > length ? [bytes.subarray(length)] : []
    this.#size = bytes.length - length
    return bytes.subarray(0, length)
  }
}

/** Reads a message that has no type byte: start-up, TLS or GSS request, cancel request. */
export function parseGreeting (bytes: Buffer): Greeting {
  if (bytes.length < 8) return { kind: 'unknown' }
  const code = bytes.readInt32BE(4)
  if (code === SSL || code === GSS) return { kind: 'encryption' }
  if (code === CANCEL) return { kind: 'cancel' }
  if (code >> 16 !== PROTOCOL_3) return { kind: 'unknown' }
  const words = bytes.toString('utf8', 8).split('\0')
  const parameters = new Map<string, string>()
  for (let at = 0; at + 1 < words.length && words[at]; at += 2) parameters.set(words[at] ?? '', words[at + 1] ?? '')
  return { kind: 'startup', bytes, parameters }
}

/** Query, Parse, Bind, Execute, Describe, Close, Sync, Flush, Terminate; CopyData, CopyDone, CopyFail. */
const FRONTEND = new Set([...'QPBEDCSHXdcf'].map((type) => type.charCodeAt(0)))

/** False for a type at which a backend gives up. */
export function isFrontendMessage (bytes: Buffer): boolean {
  return FRONTEND.has(bytes[0] ?? 0)
}

/** A message with its type byte and length in front of the parts. */
export function message (type: string, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => typeof part === 'string' ? Buffer.from(part) : part))
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** A simple query. */
export function query (sql: string): Buffer {
  return message('Q', sql, '\0')
}

/** The Sync message: ends an extended-protocol batch. */
export const SYNC = message('S')

/** ReadyForQuery, outside a transaction. */
export const READY = message('Z', 'I')

/** An ErrorResponse of severity FATAL; the server closes the connection after it. */
export function fatal (sqlState: string, text: string): Buffer {
  return message('E', 'SFATAL\0', 'VFATAL\0', `C${sqlState}\0`, `M${text}\0`, '\0')
}

/** What a backend's answer holds, besides its bytes. */
export interface Answer {
  /** The answer without notifications. */
  bytes: Buffer
  /** Transaction state of the last ReadyForQuery: idle, in a transaction, in a failed one; undefined without one. */
  status: 'I' | 'T' | 'E' | undefined
  notifications: { channel: string, bytes: Buffer }[]
}

/** Walks the messages of an answer. `chunks` together hold whole messages. */
export function readAnswer (chunks: Buffer[]): Answer {
  const all = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
  const kept: Buffer[] = []
  const answer: Answer = { bytes: all, status: undefined, notifications: [] }
  let from = 0
  for (let at = 0; at + 5 <= all.length;) {
    const end = at + 1 + all.readInt32BE(at + 1)
    const type = all[at]
    if (type === 0x5a) answer.status = String.fromCharCode(all[at + 5] ?? 0) as Answer['status']
    if (type === 0x41) {
      kept.push(all.subarray(from, at))
      from = end
      const bytes = all.subarray(at, end)
      answer.notifications.push({ channel: bytes.toString('utf8', 9, bytes.indexOf(0, 9)), bytes })
    }
    at = end
  }
  if (from > 0) answer.bytes = Buffer.concat([...kept, all.subarray(from)])
  return answer
}

/** The text of the first column of an answer's first row; undefined without a row, or when it is null. */
export function readText (bytes: Buffer): string | undefined {
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
    if (bytes[at] !== 0x44) continue
    const length = bytes.readInt32BE(at + 7)
    return length < 0 ? undefined : bytes.toString('utf8', at + 11, at + 11 + length)
  }
}
