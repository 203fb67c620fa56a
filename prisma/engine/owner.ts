// Who serves the embedded database of a data folder, and where. This file runs on
// old versions of Node.js too: prisma.config.ts needs it in the CLI's process.
import { randomUUID } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join, resolve } from 'node:path'

const PROBE_MS = 1_000
export const SOCKET = '.s.PGSQL.5432'

/** How the processes that serve a folder for the Prisma CLI call themselves. */
export const ENGINE_TITLE = 'the Prisma CLI'
export const STUDIO_TITLE = 'Prisma Studio'

/** A file in the data folder: `npm start` has migrated and seeded the database. */
export const SET_UP_MARK = 'set-up'

/** Who holds a data folder; `url` appears when the database answers. */
export interface Owner { pid: number, startedAt: string, title: string, url?: string }

/** What the last owner of the folder wrote; it may have died since. */
export function readOwner (dataDir: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(ownerFile(dataDir), 'utf8')) as Owner
  } catch {
    return undefined
  }
}

/** Replaces what the folder says of its owner, in one step. */
export function writeOwner (dataDir: string, owner: Owner): void {
  const part = `${ownerFile(dataDir)}.${randomUUID()}`
  writeFileSync(part, JSON.stringify(owner), { mode: 0o600 })
  renameSync(part, ownerFile(dataDir))
}

export function removeOwner (dataDir: string): void {
  rmSync(ownerFile(dataDir), { force: true })
}

/** The URL of the live database of a data folder, whichever process owns it; undefined when there is none. */
export async function embeddedUrl (dataDir: string): Promise<string | undefined> {
  const url = readOwner(resolve(dataDir))?.url
  return url !== undefined && await answers(decodeURIComponent(new URL(url).hostname)) ? url : undefined
}

/**
 * The URL that stands for the embedded database of a data folder before it is known
 * who serves it, or where: it names the usual place of the socket.
 */
export function embeddedPlaceholder (dataDir: string): string {
  return urlOf(join(resolve(dataDir), 'run', SOCKET))
}

/** The URL of a Unix socket, as `pg` takes it: its folder, percent-encoded, is the host. */
export function urlOf (socket: string): string {
  return `postgresql://postgres@${encodeURIComponent(dirname(socket))}/postgres`
}

function ownerFile (dataDir: string): string {
  return join(dataDir, 'owner.json')
}

function answers (socketFolder: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(join(socketFolder, SOCKET))
    const end = (alive: boolean): void => {
      probe.destroy()
      resolve(alive)
    }
    probe.setTimeout(PROBE_MS, () => end(false)).once('connect', () => end(true)).once('error', () => end(false))
  })
}
