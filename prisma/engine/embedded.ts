// The embedded PostgreSQL: PGlite in a thread, served on a Unix socket to ordinary clients.
import { rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DataDirError, clusterFolder, holdDataDir, prepareDataDir, socketPath, temporarySocketPath } from './data-dir.ts'
import { startThread } from './embedded-thread.ts'
import { onceOnly } from './once-only.ts'
import { embeddedUrl, urlOf } from './owner.ts'

export { DataDirError } from './data-dir.ts'
export { embeddedUrl } from './owner.ts'

const WAIT_MS = 5_000
const BORROW_MS = 15_000
const TURN_MS = 200

/** A database of this process: a URL for any PostgreSQL client, and the way to let go of it. */
export interface EmbeddedDatabase {
  url: string
  close: () => Promise<void>
}

interface Shared { users: number, opened: Promise<EmbeddedDatabase> }

const open = new Map<string, Shared>()
const closing = new Map<string, Promise<void>>()

/**
 * Opens the embedded PostgreSQL of a data folder, which it creates when missing.
 * Within a process each folder has one instance: it closes with its last user.
 * What is committed survives kill -9, though not a power cut (PGlite has no fsync).
 * @param options.waitMs how long to wait for another process to let go of the folder (5000)
 * @throws DataDirError with a one-line message when the folder can't be used
 */
export async function openEmbedded (dataDir: string, { waitMs = WAIT_MS }: { waitMs?: number } = {}): Promise<EmbeddedDatabase> {
  const folder = prepareDataDir(resolve(dataDir))
  while (closing.has(folder)) await closing.get(folder)
  const shared = open.get(folder) ?? { users: 0, opened: start(folder, waitMs) }
  open.set(folder, shared)
  shared.users++
  try {
    const { url, close } = await shared.opened
    return { url, close: onceOnly(() => letGo(folder, shared, close)) }
  } catch (error) {
    open.delete(folder)
    throw error
  }
}

/**
 * The live database of a data folder, whichever process owns it, or else opened here.
 * @param options.waitMs how long to wait for an owner that is starting or stopping (15000)
 * @throws DataDirError with a one-line message when the folder can't be used
 */
export async function borrowEmbedded (dataDir: string, { waitMs = BORROW_MS }: { waitMs?: number } = {}): Promise<EmbeddedDatabase> {
  const deadline = Date.now() + waitMs
  for (;;) {
    const url = await embeddedUrl(dataDir)
    if (url !== undefined) return { url, close: async () => {} }
    try {
      return await openEmbedded(dataDir, { waitMs: TURN_MS })
    } catch (error) {
      if (!(error instanceof DataDirError && error.held) || Date.now() > deadline) throw error
    }
  }
}

/**
 * A PostgreSQL in memory, served the same way, for tests and as a shadow database.
 * @param options.load a tar of a cluster, as `dump` gives it, which is used up; a new cluster without it
 */
export async function createEphemeral ({ load }: { load?: Blob | Buffer<ArrayBuffer> } = {}): Promise<EmbeddedDatabase & { dump: () => Promise<Buffer<ArrayBuffer>> }> {
  const socket = temporarySocketPath()
  try {
    const bytes = load instanceof Blob ? new Uint8Array(await load.arrayBuffer()) : load
    const thread = await startThread({ socket, load: bytes })
    return {
      url: urlOf(socket),
      dump: thread.dump,
      close: onceOnly(async () => {
        await thread.close()
        rmSync(dirname(socket), { recursive: true, force: true })
      })
    }
  } catch (error) {
    rmSync(dirname(socket), { recursive: true, force: true })
    throw error
  }
}

async function start (folder: string, waitMs: number): Promise<EmbeddedDatabase> {
  const hold = await holdDataDir(folder, waitMs)
  try {
    const socket = socketPath(folder)
    const thread = await startThread({ socket, folder: clusterFolder(folder) })
    hold.publish(urlOf(socket))
    return {
      url: urlOf(socket),
      close: async () => {
        await thread.close()
        hold.release()
      }
    }
  } catch (error) {
    hold.release()
    const why = error instanceof Error ? error.message : String(error)
    throw new DataDirError(`The embedded PostgreSQL could not open the data folder ${folder}: ${why}.`, { cause: error })
  }
}

async function letGo (folder: string, shared: Shared, close: () => Promise<void>): Promise<void> {
  if (--shared.users > 0) return
  open.delete(folder)
  const done = close().finally(() => closing.delete(folder))
  closing.set(folder, done)
  await done
}
