import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'

// 1 MiB WAL segments and small buffers: a fresh cluster is 10 MB smaller, an
// instance 150 MB.
const INITDB = ['--wal-segsize=1']
const SETTINGS = ['shared_buffers=16MB', 'max_connections=20', 'autovacuum=off']

/** PGlite's own start parameters and ours. */
export const START_PARAMS = [...PGlite.defaultStartParams, ...SETTINGS.flatMap((setting) => ['-c', setting])]

/** The one database of a cluster that PGlite makes. */
export const DATABASE = 'postgres'

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/keel/', import.meta.url))

/**
 * A tar of a new cluster. initdb in WebAssembly takes about 2 s, so the result is kept
 * in node_modules/.cache (made again for another PGlite version, or when it can't be kept).
 */
export async function newCluster (): Promise<Buffer<ArrayBuffer>> {
  const file = join(CACHE, `cluster-${pgliteVersion()}-${INITDB.join('')}.tar`)
  try {
    return readFileSync(file)
  } catch {}
  const db = await PGlite.create({ dataDir: 'memory://', initDbStartParams: INITDB, startParams: START_PARAMS })
  await db.exec('CHECKPOINT')
  const tar = Buffer.from(await (await db.dumpDataDir('none')).arrayBuffer())
  await db.close()
  try {
    mkdirSync(CACHE, { recursive: true })
    const part = `${file}.${randomUUID()}`
    writeFileSync(part, tar)
    renameSync(part, file)
  } catch {}
  return tar
}

/** Unpacks a tar of a cluster into a folder that must not exist; it appears whole or not at all. */
export function unpackCluster (tar: Buffer, folder: string): void {
  const part = `${folder}.new`
  rmSync(part, { recursive: true, force: true })
  mkdirSync(part, { recursive: true, mode: 0o700 })
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const name = text(tar, at, 100)
    const prefix = text(tar, at + 345, 155)
    const size = parseInt(text(tar, at + 124, 12), 8) || 0
    const path = join(part, prefix, name)
    if (tar[at + 156] === 0x35) {
      mkdirSync(path, { recursive: true, mode: 0o700 })
    } else {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      writeFileSync(path, tar.subarray(at + 512, at + 512 + size), { mode: 0o600 })
    }
    at += 512 + Math.ceil(size / 512) * 512
  }
  if (!existsSync(join(part, 'PG_VERSION'))) throw new Error('the archive holds no PostgreSQL cluster')
  renameSync(part, folder)
  const parent = openSync(dirname(folder), 'r')
  fsyncSync(parent)
  closeSync(parent)
}

function text (tar: Buffer, at: number, length: number): string {
  const field = tar.toString('utf8', at, at + length)
  const end = field.indexOf('\0')
  return (end < 0 ? field : field.slice(0, end)).trim()
}

function pgliteVersion (): string {
  const main = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  const { version } = JSON.parse(readFileSync(join(dirname(main), '../package.json'), 'utf8')) as { version: string }
  return version
}
