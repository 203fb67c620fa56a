// What follows a command of the Prisma CLI: hooks on the end of its process.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { commandName } from '../cli-config.ts'
import { ENGINE_TITLE, SET_UP_MARK, readOwner } from './owner.ts'

const RELEASE_MS = 10_000
const POLL_MS = 10
const REGISTERED = Symbol.for('keel.prisma-cli-after')

/**
 * Prisma 7 no longer generates the client after `migrate dev` and `db push`: once
 * they have succeeded, this does. And the engine, which outlives the CLI for a
 * moment, has let go of the embedded database when the command ends.
 * @param dataDir the embedded database's folder, if that is the datasource
 */
export function afterCommand (dataDir: string | undefined): void {
  if (Object.hasOwn(globalThis, REGISTERED)) return
  Object.defineProperty(globalThis, REGISTERED, { value: true })
  process.once('exit', (code) => {
    if (code === 0 && changesSchema()) generate()
    if (dataDir === undefined) return
    // An emptied database is to be set up again by the next `npm start`.
    if (commandName() === 'migrate reset') rmSync(join(dataDir, SET_UP_MARK), { force: true })
    waitForEngine(dataDir)
  })
}

function changesSchema (): boolean {
  const options = process.argv.slice(4)
  return ['migrate dev', 'db push'].includes(commandName()) && !options.some((option) => ['--create-only', '--help', '-h'].includes(option))
}

function generate (): void {
  const words = process.argv.slice(4)
  const kept = words.filter((word, at) => /^--(schema|config)(=|$)/.test(word) || /^--(schema|config)$/.test(words[at - 1] ?? ''))
  const { status } = spawnSync(process.execPath, [...process.execArgv, process.argv[1] ?? '', 'generate', ...kept], { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) process.exitCode = status ?? 1
}

function waitForEngine (dataDir: string): void {
  const clock = new Int32Array(new SharedArrayBuffer(4))
  for (let waited = 0; waited < RELEASE_MS && engineHolds(dataDir); waited += POLL_MS) Atomics.wait(clock, 0, 0, POLL_MS)
}

function engineHolds (dataDir: string): boolean {
  const owner = readOwner(dataDir)
  if (owner?.title !== ENGINE_TITLE) return false
  try {
    return process.kill(owner.pid, 0)
  } catch {
    return false
  }
}
