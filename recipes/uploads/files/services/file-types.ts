import { fileTypeFromBuffer } from 'file-type'
import { DomainError } from './errors.ts'

/** What is looked at to tell the type of a file, in bytes: office documents say what they are behind their first entries. */
export const SAMPLE_BYTES = 64 * 1024

/** What a client says of a file when it does not know. */
const UNKNOWN = 'application/octet-stream'
const TEXTUAL = /^text\/|[/+](?:json|xml|yaml)$|^application\/(?:javascript|x-ndjson|sql)$/
/** Control characters that no text has. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\0-\x08\x0e-\x1a\x1c-\x1f]/
const MEDIA_TYPE = /^[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}$/

/** Other names that programs send for types. */
const ALIASES: Record<string, string> = {
  'image/jpg': 'image/jpeg',
  'image/pjpeg': 'image/jpeg',
  'image/x-png': 'image/png',
  'application/x-pdf': 'application/pdf',
  'application/x-zip-compressed': 'application/zip',
  'application/x-zip': 'application/zip',
  'application/x-gzip': 'application/gzip',
  'audio/mp3': 'audio/mpeg',
  'audio/x-wav': 'audio/wav',
  'text/xml': 'application/xml',
  'text/json': 'application/json',
  'text/x-csv': 'text/csv',
  'application/csv': 'text/csv'
}

/** The type of a file, and whether all of it has to be text. */
export interface FileKind { type: string, isText: boolean }

/**
 * Tells the type of a file by how it begins. What the client says counts only where bytes don't tell: which text a text is.
 * @param declared the Content-Type of the client, if it sent one
 * @param allowed the media types that are taken; `image/*` stands for all of a kind
 * @throws DomainError FILE_TYPE_MISMATCH, UNSUPPORTED_FILE_TYPE
 */
export async function fileKind (sample: Uint8Array, declared: string | undefined, allowed: readonly string[]): Promise<FileKind> {
  const said = normalType(declared)
  const found = normalType((await fileTypeFromBuffer(sample))?.mime)
  const isText = (found === undefined || TEXTUAL.test(found)) && textReader()(sample, false)
  const type = typeOf(said, found, isText)
  if (!allowed.some(one => one === type || (one.endsWith('/*') && type.startsWith(one.slice(0, -1))))) {
    throw new DomainError('UNSUPPORTED_FILE_TYPE', `Files of the type ${type} are not taken.`)
  }
  return { type, isText }
}

function typeOf (said: string | undefined, found: string | undefined, isText: boolean): string {
  if (isText) {
    if (said === undefined) return found ?? 'text/plain'
    // Bytes tell that it is XML, not of which kind; and all of these are plain text as well.
    const fits = found === undefined || said === 'text/plain' || (found.endsWith('xml') && said.endsWith('xml'))
    if (TEXTUAL.test(said) && fits) return said
  }
  const type = found ?? (isText ? 'text/plain' : UNKNOWN)
  if (said !== undefined && said !== type) throw new DomainError('FILE_TYPE_MISMATCH', `The file is said to be ${said}, and is ${type}.`)
  return type
}

/** Without parameters, by its usual name; undefined where it says nothing. */
function normalType (text: string | undefined): string | undefined {
  const type = text?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === '' || type === UNKNOWN || !MEDIA_TYPE.test(type)) return undefined
  return ALIASES[type] ?? type
}

/**
 * Reads text in UTF-8, in pieces.
 * @returns says of each piece whether it is text; a character may go on in the next, unless it is the last
 */
export function textReader (): (piece: Uint8Array, isLast: boolean) => boolean {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  return (piece, isLast) => {
    try {
      return !CONTROL.test(decoder.decode(piece, { stream: !isLast }))
    } catch {
      return false
    }
  }
}
