// Prisma Studio connects by itself: the embedded database must be served while it runs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { embeddedUrl } from './owner.ts'

/**
 * A URL for Studio to a data folder's database: the live one, or one served by a process
 * that ends with this one, however this one ends.
 * @throws Error with the one-line message of the process that can't open the folder
 */
export async function studioUrl (dataDir: string): Promise<string> {
  const { hostname, username, pathname } = new URL(await servedUrl(dataDir))
  // Studio's driver, `postgres`, takes a socket from the environment but not from a URL.
  Object.assign(process.env, { PGHOST: decodeURIComponent(hostname), PGPORT: '5432', PGUSER: username })
  return `postgresql://${pathname}`
}

async function servedUrl (dataDir: string): Promise<string> {
  const live = await embeddedUrl(dataDir)
  if (live !== undefined) return live
  const own = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url))
  const hold = fileURLToPath(new URL('./hold.ts', import.meta.url))
  const child = spawn(existsSync(own) ? own : 'node', ['--disable-warning=ExperimentalWarning', hold, dataDir], { stdio: ['pipe', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })
  const [line] = await Promise.race([once(lines, 'line'), once(lines, 'close')]) as [string?]
  if (!line?.startsWith('postgresql://')) throw new Error(line ?? 'The embedded PostgreSQL did not start.')
  child.unref()
  for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as { unref: () => void }).unref()
  return line
}
