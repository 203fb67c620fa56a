import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import type { IncomingFile } from '../../services/file-intake.ts'

/** Beside files a form may have some fields, which are skipped. */
const MAX_FIELDS = 50
const MAX_FIELD_BYTES = 64 * 1024
const MAX_NAME_BYTES = 200
const MAX_HEADERS = 20
/** What a form has beside the bytes of its files: boundaries, headers, fields. */
const OVERHEAD_BYTES = 1024 * 1024
const LINGER_MS = 5_000

const LIMITS: Record<string, string> = { FST_FILES_LIMIT: 'files', FST_FIELDS_LIMIT: 'fields', FST_PARTS_LIMIT: 'parts' }

/**
 * The files of a form, each to be read before the next is asked for.
 * @throws errors with the status 400 for a form that can't be read, 413 for one with too many parts or of a length that can't be
 */
export async function * filesOf (request: FastifyRequest, { maxFiles, maxBytes }: { maxFiles: number, maxBytes: number }): AsyncGenerator<IncomingFile> {
  if (!request.isMultipart()) return
  const length = Number(request.headers['content-length'] ?? 0)
  if (length > maxFiles * maxBytes + OVERHEAD_BYTES) throw tooLarge(`The form has more bytes than ${maxFiles} files of ${maxBytes} bytes.`)
  const limits = { files: maxFiles, fields: MAX_FIELDS, parts: maxFiles + MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, fieldNameSize: MAX_NAME_BYTES, headerPairs: MAX_HEADERS, fileSize: Infinity }
  const parts = request.parts({ limits })
  for (;;) {
    const { done, value: part } = await parts.next().catch(error => { throw unreadable(error) })
    if (done) return
    if (part.type !== 'file') continue
    try {
      yield { name: part.filename, type: part.mimetype, content: contentOf(part) }
    } finally {
      // Whoever does not read it to its end ends the form.
      if (!part.file.readableEnded) part.file.destroy()
    }
  }
}

async function * contentOf ({ file }: MultipartFile): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of file) yield chunk as Buffer
  } catch (error) {
    throw unreadable(error as Error)
  }
  // Never so, as it has no limit: but a part of a file must not pass for one.
  if (file.truncated) throw tooLarge('The file is too large.')
}

function unreadable ({ code = '', message }: Error & { code?: string }): Error {
  const what = LIMITS[code]
  if (what !== undefined) return tooLarge(`The form has too many ${what}.`)
  return Object.assign(new Error(`The form cannot be read: ${message}.`), { statusCode: 400, code: 'MALFORMED_BODY' })
}

function tooLarge (message: string): Error {
  return Object.assign(new Error(message), { statusCode: 413 })
}

/**
 * Takes the rest of a request that is answered before it has arrived, for a while: a client that is cut off while it sends
 * may never see the answer.
 */
export function drain ({ raw }: FastifyRequest): void {
  // What is injected has no end to come.
  if (raw.complete !== false || raw.destroyed) return
  const timer = setTimeout(() => raw.socket.destroy(), LINGER_MS).unref()
  raw.once('close', () => clearTimeout(timer)).once('end', () => clearTimeout(timer))
  raw.on('error', () => {}).resume()
}
