import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { cpSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { checkoutFiles } from '../../kit/checkout-files.ts'

const root = join(import.meta.dirname, '../..')
const UP_MS = 120_000
const POLL_MS = 50
const ANSWER_MS = 10_000
/** So much of what the service printed stands beside a failed test. */
const TOLD = 4_000
/** A busy machine is no reason to refuse a test's requests. */
const PATIENT = { OVERLOAD_LOOP_DELAY_MS: '0', OVERLOAD_POOL_WAIT_MS: '0' }

/** What a service of production needs beside its database and its secrets. */
export const besides: Record<string, string> = {
  // recipes: production
}

/**
 * A copy of the checkout, with nothing that was made in it but the Prisma client; node_modules is shared.
 * @param options.fresh without the client, too: as a clone
 */
export function copyOfCheckout (t: Test, { fresh = false }: { fresh?: boolean } = {}): string {
  const folder = t.testdir()
  for (const file of checkoutFiles(root).filter(file => !file.startsWith('test/'))) {
    cpSync(join(root, file), join(folder, file), { recursive: true })
  }
  if (!fresh) cpSync(join(root, 'prisma/generated'), join(folder, 'prisma/generated'), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/**
 * A command with that environment and no other, to be spawned. By `env -i`: tap adds loaders of its own to
 * the environment of every child, which are slow, and not what the service runs with.
 */
export function alone (command: string, args: string[], env: Record<string, string | undefined>): [command: string, args: string[]] {
  const pairs = Object.entries(env).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${value}`)
  return ['env', ['-i', ...pairs, command, ...args]]
}

export interface Ended { code: number | null, output: string }
/** A started service: where it answers, and the folder and the settings that it was started with. */
export interface Service { url: string, folder: string, env: Record<string, string>, pid: number, output: () => string, stop: (signal?: NodeJS.Signals) => Promise<Ended>, ended: () => Promise<Ended> }

/** Runs a command to its end. The environment is ours without what would reach into it. */
export async function run (cwd: string, command: string, args: string[], env: Record<string, string> = {}): Promise<Ended> {
  const { child, output } = start(cwd, command, args, env)
  const code = await ended(child)
  return { code, output: output() }
}

/** `npm run kit -- …` without npm. */
export async function runKit (words: string[], env: Record<string, string> = {}): Promise<Ended> {
  return await run(root, 'node_modules/.bin/node', ['kit/cli.ts', ...words], { NODE_COMPILE_CACHE: 'node_modules/.cache/keel/compile', ...env })
}

/**
 * `npm start` (or another script, or `kit/serve`, which leaves the set-up out) in a folder, until
 * /health/ready answers with the status. Ends with the test.
 */
export async function startService (t: Test, cwd: string, env: Record<string, string> = {}, status = 200, script = 'start'): Promise<Service> {
  const port = await freePort()
  const [command, args]: [string, string[]] = script === 'kit/serve' ? [join(cwd, script), []] : ['npm', ['run', script]]
  const settings = { PORT: String(port), ...PATIENT, ...env }
  const { child, output } = start(cwd, command, args, settings)
  const url = `http://127.0.0.1:${port}`
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    // npm passes signals on, but it can't pass on the one that kills it.
    if (child.exitCode === null && child.signalCode === null && child.pid) process.kill(signal === 'SIGKILL' ? -child.pid : child.pid, signal)
    const code = await ended(child)
    return { code, output: output() }
  }
  t.teardown(async () => {
    const { output } = await stop('SIGKILL')
    if (!t.passing()) t.comment(output.slice(-TOLD))
  })
  const deadline = Date.now() + UP_MS
  while (!await answers(`${url}/health/ready`, status)) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`npm run ${script} is not ready:\n${output()}`)
    await sleep(POLL_MS)
  }
  return { url, folder: cwd, env: settings, pid: child.pid ?? 0, output, stop, ended: async () => ({ code: await ended(child), output: output() }) }
}

/** A port that is free now. */
export async function freePort (): Promise<number> {
  for (;;) {
    // None of those that the system gives: it may give it to another before this one listens.
    const port = randomInt(10_000, 32_768)
    const probe = createServer()
    const isFree = await new Promise<boolean>(resolve => probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)))
    if (!isFree) continue
    await new Promise(resolve => probe.close(resolve))
    return port
  }
}

function start (cwd: string, command: string, args: string[], env: Record<string, string>): { child: ChildProcess, output: () => string } {
  const { PATH = '', HOME = '', TMPDIR, NODE_EXTRA_CA_CERTS } = process.env
  // The PATH of a shell: npm and npx put node_modules/.bin in front by themselves.
  const path = PATH.split(':').filter(part => !part.includes('node_modules')).join(':')
  const environment = { HOME, TMPDIR, NODE_EXTRA_CA_CERTS, PATH: path, NO_COLOR: '1', npm_config_update_notifier: 'false', ...env }
  const child = spawn(...alone(command, args, environment), { cwd, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => { output += String(chunk) })
  return { child, output: () => output }
}

async function ended (child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await new Promise(resolve => child.once('close', resolve))
  return child.exitCode
}

/** Whether a URL answers with the status. */
export async function answers (url: string, status: number): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) })).status === status
  } catch {
    return false
  }
}

/** JSON over HTTP: the status, the headers and the parsed body. */
export async function call (url: string, { token, body, headers, method = body === undefined ? 'GET' : 'POST' }: { token?: string, body?: object, headers?: Record<string, string>, method?: string } = {}) {
  const response = await fetch(url, {
    method,
    headers: { ...token ? { authorization: `Bearer ${token}` } : {}, ...body ? { 'content-type': 'application/json' } : {}, ...headers },
    body: body ? JSON.stringify(body) : undefined
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}
