import { createHash, type Hash } from 'node:crypto'
import { DomainError } from './errors.ts'
import { fileKind, SAMPLE_BYTES, textReader, type FileKind } from './file-types.ts'

/** A file on its way in. `content` can be read once. */
export interface IncomingFile {
  name: string | undefined
  /** What the client says that it is. */
  type: string | undefined
  content: AsyncIterable<Uint8Array>
}

/** A file whose beginning has been read. */
export interface Intake {
  kind: FileKind
  /** All of it, once: read by whoever stores it. Throws what is wrong with it. */
  content: AsyncIterable<Uint8Array>
  /** What was wrong with it, whatever became of that on its way. */
  failure: () => unknown
  /** When it has been read to its end. */
  result: () => { size: number, sha256: Uint8Array<ArrayBuffer> }
}

/**
 * Reads the beginning of a file and tells what it is. The rest is read by whoever reads `content`, no faster: nothing is kept.
 * @throws DomainError EMPTY_FILE, FILE_TYPE_MISMATCH, UNSUPPORTED_FILE_TYPE
 */
export async function takeIn ({ type, content }: IncomingFile, { types, maxBytes }: { types: readonly string[], maxBytes: number }): Promise<Intake> {
  const pieces = content[Symbol.asyncIterator]()
  const sample: Uint8Array[] = []
  let length = 0
  while (length < SAMPLE_BYTES) {
    const { done, value } = await pieces.next()
    if (done) break
    sample.push(value)
    length += value.byteLength
  }
  if (length === 0) throw new DomainError('EMPTY_FILE', 'The file is empty.')
  const beginning = Buffer.concat(sample)
  const kind = await fileKind(beginning, type, types)
  const sha256 = createHash('sha256')
  const state: State = { size: 0, failure: undefined }
  return {
    kind,
    content: checked({ beginning, pieces, kind, maxBytes, sha256, state }),
    failure: () => state.failure,
    result: () => ({ size: state.size, sha256: new Uint8Array(sha256.digest()) })
  }
}

interface State { size: number, failure: unknown }

async function * checked ({ beginning, pieces, kind, maxBytes, sha256, state }: { beginning: Uint8Array, pieces: AsyncIterator<Uint8Array>, kind: FileKind, maxBytes: number, sha256: Hash, state: State }): AsyncGenerator<Uint8Array> {
  const isText = kind.isText ? textReader() : () => true
  const failed = (error: unknown) => {
    state.failure = error
    return error
  }
  for (let piece = beginning; ;) {
    state.size += piece.byteLength
    if (state.size > maxBytes) throw failed(new DomainError('FILE_TOO_LARGE', `A file has at most ${maxBytes} bytes.`))
    if (!isText(piece, false)) throw failed(notText(kind))
    sha256.update(piece)
    // What is thrown in here is of whoever reads.
    yield piece
    const { done, value } = await pieces.next().catch((error: unknown) => { throw failed(error) })
    if (done) break
    piece = value
  }
  if (!isText(new Uint8Array(), true)) throw failed(notText(kind))
}

function notText ({ type }: FileKind): DomainError {
  return new DomainError('FILE_TYPE_MISMATCH', `The file begins as ${type}, and goes on as something that is no text in UTF-8.`)
}
