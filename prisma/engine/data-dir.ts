import { createHash } from 'node:crypto'
import { accessSync, chmodSync, constants, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { SOCKET, readOwner, removeOwner, writeOwner } from './owner.ts'
import type { Owner } from './owner.ts'

/** PostgreSQL's major version in this PGlite. */
const MAJOR = '18'
const POLL_MS = 50
/** sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux. */
const LONGEST_SOCKET_PATH = 100
const SQLITE_BUSY = 5

/** A data folder that can't be used; its message is one line for the user. */
export class DataDirError extends Error {
  override name = 'DataDirError'
  /** Another process has the folder: it may let go of it. */
  held = false

  constructor (message: string, options?: ErrorOptions) {
    super(message, options)
    // Whoever prints it prints what the operator needs, not where it was noticed.
    this.stack = message
  }
}

/** Held while this process owns a data folder; the system frees it when the process dies. */
export interface Hold {
  publish: (url: string) => void
  release: () => void
}

/**
 * Creates the folder when missing and checks that it can hold our data.
 * @returns its real path
 * @throws DataDirError when it is no folder, not writable or another PostgreSQL's
 */
export function prepareDataDir (dataDir: string): string {
  try {
    makeFolder(dataDir)
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const trouble = code === 'EEXIST' || code === 'ENOTDIR'
      ? 'is not a folder'
      : `can't be written (${code ?? String(error)})`
    throw new DataDirError(`The data folder ${dataDir} ${trouble}: set DATA_DIR to a folder that this user may write, or DATABASE_URL to a PostgreSQL server.`)
  }
  const real = realpathSync(dataDir)
  if (existsSync(join(real, 'PG_VERSION'))) {
    throw new DataDirError(`The data folder ${real} is itself a PostgreSQL cluster: set DATA_DIR to another folder.`)
  }
  const version = join(clusterFolder(real), 'PG_VERSION')
  const major = existsSync(version) ? readFileSync(version, 'utf8').trim() : MAJOR
  if (major !== MAJOR) {
    throw new DataDirError(`The data folder ${real} was made by PostgreSQL ${major} and the embedded one is ${MAJOR}: set DATA_DIR to another folder, or move the data with the version that made it.`)
  }
  return real
}

// Not recursive: under /proc, say, Node's recursive mkdir never returns.
function makeFolder (path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && statSync(path).isDirectory()) return
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error
    makeFolder(dirname(path))
    mkdirSync(path, { mode: 0o700 })
  }
}

/** Where the PostgreSQL cluster of a data folder is. */
export function clusterFolder (dataDir: string): string {
  return join(dataDir, 'postgres')
}

/**
 * Makes this process the owner of a prepared data folder.
 * @param waitMs how long to wait for another owner to let go
 * @throws DataDirError that names the holder
 */
export async function holdDataDir (dataDir: string, waitMs: number): Promise<Hold> {
  const deadline = Date.now() + waitMs
  let lock = tryLock(dataDir)
  while (!lock && Date.now() < deadline) {
    await sleep(POLL_MS)
    lock = tryLock(dataDir)
  }
  if (!lock) {
    const owner = readOwner(dataDir)
    const who = owner ? `process ${owner.pid} (${owner.title}, since ${owner.startedAt})` : 'another process'
    throw Object.assign(new DataDirError(`The data folder ${dataDir} is in use by ${who}: stop that process, or set DATA_DIR to another folder.`), { held: true })
  }
  const held = lock
  const owner: Owner = { pid: process.pid, startedAt: new Date().toISOString(), title: title() }
  writeOwner(dataDir, owner)
  return {
    publish: (url) => writeOwner(dataDir, { ...owner, url }),
    release: () => {
      removeOwner(dataDir)
      held.close()
    }
  }
}

/** A socket path in a folder of mode 0700, in the data folder unless that path is too long. */
export function socketPath (dataDir: string): string {
  const inside = join(dataDir, 'run', SOCKET)
  const name = `keel-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`
  const path = Buffer.byteLength(inside) <= LONGEST_SOCKET_PATH ? inside : join(tmpdir(), name, SOCKET)
  const folder = join(path, '..')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stat = lstatSync(folder)
  // A stranger may have made the folder in the shared /tmp.
  if (!stat.isDirectory() || stat.uid !== (process.getuid?.() ?? stat.uid)) return temporarySocketPath()
  chmodSync(folder, 0o700)
  rmSync(path, { force: true })
  return path
}

/** A socket path in a new folder of mode 0700 under the system's temporary folder. */
export function temporarySocketPath (): string {
  return join(mkdtempSync(join(tmpdir(), 'keel-')), SOCKET)
}

// SQLite's file lock is the system's: unlike a pid file it can't outlive its process.
function tryLock (dataDir: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(join(dataDir, 'lock.sqlite'), { timeout: 0 })
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined
    throw new DataDirError(`The data folder ${dataDir} can't be locked (${String(error)}).`)
  }
}

function title (): string {
  return process.env.KEEL_OWNER_TITLE ?? [process.argv[0], ...process.argv.slice(1, 4)].map((word = '') => word.split('/').pop()).join(' ')
}
