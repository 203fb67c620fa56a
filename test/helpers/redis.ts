import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { freePort } from './process.ts'

const isInstalled = spawnSync('redis-server', ['--version']).status === 0
/** For tests that need a Redis. */
export const withRedis = { skip: isInstalled ? false : 'redis-server is not installed' }

export interface Server { url: string, stop: () => Promise<void>, start: () => Promise<void> }

/** A Redis of the test's own, which ends with it. */
export async function redisServer (t: Test): Promise<Server> {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  const start = async () => {
    child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', t.testdir()], { stdio: 'ignore' })
    const probe = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
    probe.on('error', () => {})
    await probe.ping()
    probe.disconnect()
  }
  const stop = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  t.teardown(stop)
  await start()
  return { url, start, stop }
}
