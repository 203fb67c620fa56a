import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import type { Test } from 'tap'
import { freePort } from './process.ts'

const isInstalled = spawnSync('nats-server', ['--version']).status === 0
/** For tests that need a NATS server. */
export const withNats = { skip: isInstalled ? false : 'nats-server is not installed' }

export interface NatsServer {
  url: string
  start: () => Promise<void>
  /** As kill -9 does. */
  kill: () => Promise<void>
  /** A client of the test's own. */
  client: () => Promise<{ connection: NatsConnection, js: JetStreamClient, jsm: JetStreamManager }>
}

/** A NATS server with JetStream of the test's own, which keeps what it stores over a restart, and ends with the test. */
export async function natsServer (t: Test, { config = '', url: given, isStarted = true }: { config?: string, url?: (port: number) => string, isStarted?: boolean } = {}): Promise<NatsServer> {
  const port = await freePort()
  const folder = t.testdir({})
  const file = join(folder, 'nats.conf')
  writeFileSync(file, `host: "127.0.0.1"\nport: ${port}\njetstream { store_dir: "${join(folder, 'store')}" }\n${config}\n`)
  const url = given?.(port) ?? `nats://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  const clients: NatsConnection[] = []

  async function start (): Promise<void> {
    child = spawn('nats-server', ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] })
    let output = ''
    child.stderr?.on('data', chunk => { output += String(chunk) })
    while (!output.includes('Server is ready')) {
      if (child.exitCode !== null) throw new Error(`nats-server has ended:\n${output}`)
      await sleep(10)
    }
  }
  async function kill (): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  t.teardown(async () => {
    for (const client of clients) await client.close()
    await kill()
  })
  if (isStarted) await start()
  return {
    url,
    start,
    kill,
    client: async () => {
      const { username, password, host } = new URL(url)
      const connection = await connect({ servers: host, ...username ? { user: username, pass: password } : {}, maxReconnectAttempts: -1, reconnectTimeWait: 50, waitOnFirstConnect: true })
      clients.push(connection)
      return { connection, js: jetstream(connection), jsm: await jetstreamManager(connection, { checkAPI: false }) }
    }
  }
}

/** All that a stream has stored, oldest first; nothing when there is none. */
export async function stored (jsm: JetStreamManager, stream: string): Promise<StoredMsg[]> {
  const info = await jsm.streams.info(stream).catch(() => undefined)
  const { messages, first_seq: first, last_seq: last } = info?.state ?? { messages: 0, first_seq: 1, last_seq: 0 }
  if (messages === 0) return []
  const found: StoredMsg[] = []
  for (let seq = first; seq <= last; seq++) {
    const message = await jsm.streams.getMessage(stream, { seq })
    if (message !== null) found.push(message)
  }
  return found
}

/** Headers from plain values. */
export function headersOf (values: Record<string, string>) {
  const result = headers()
  for (const [name, value] of Object.entries(values)) result.set(name, value)
  return result
}
