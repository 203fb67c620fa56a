import type { Readable } from 'node:stream'

/** Where the bytes of files are kept. Keys are UUIDs. */
export interface FileStorage {
  /**
   * Keeps what `content` gives, under a key that is new. Nothing is to be had of it before it is complete; of one that
   * fails nothing stays, unless the process is killed or the storage is away: `remove` takes that away, too.
   * @throws StorageError, or what `content` throws
   */
  write: (key: string, content: AsyncIterable<Uint8Array>, type: string) => Promise<void>
  /**
   * The bytes from `start` to `end`, both included, or all of them.
   * @throws StorageError
   */
  read: (key: string, range?: ByteRange) => Promise<Readable>
  /**
   * Takes away what there is under a key, complete or not; nothing is no error.
   * @throws StorageError
   */
  remove: (key: string) => Promise<void>
  close: () => void
}

export interface ByteRange { start: number, end: number }

/** The storage does not do what it is asked; the errors plugin makes it 503. */
export class StorageError extends Error {
  override name = 'StorageError'
  readonly statusCode = 503

  constructor (what: string, cause: unknown) {
    super(`The file could not be ${what}: ${(cause as Error).message}`, { cause })
  }
}
