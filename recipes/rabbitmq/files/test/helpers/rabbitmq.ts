import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type ConfirmChannel, type GetMessage, type Options } from 'amqplib'
import type { Test } from 'tap'
import { alone, freePort } from './process.ts'

/** The server that tests share, each with names of its own. */
export const rabbitUrl = process.env.TEST_RABBITMQ_URL ?? 'amqp://guest:guest@127.0.0.1:5672'
/** The script itself: what distributions put in the PATH changes the user. */
const program = ['/usr/lib/rabbitmq/bin/rabbitmq-server', '/usr/local/sbin/rabbitmq-server', '/opt/rabbitmq/sbin/rabbitmq-server'].find(existsSync)

const isThere = await connect(rabbitUrl, { timeout: 2_000 }).then(async connection => { await connection.close(); return true }, () => false)
/** For tests that need a RabbitMQ. */
export const withRabbit = { skip: isThere ? false : 'no RabbitMQ answers at TEST_RABBITMQ_URL or 127.0.0.1:5672' }
/** For tests that start and kill one. */
export const withOwnRabbit = { skip: program !== undefined ? false : 'rabbitmq-server is not installed' }

export interface RabbitClient {
  channel: ConfirmChannel
  /** Sends JSON, or a text as it is, and waits until the server has it. */
  send: (exchange: string, key: string, payload: unknown, options?: Options.Publish) => Promise<void>
  /** Takes all that is on a queue. */
  drain: (queue: string) => Promise<GetMessage[]>
  /** How many messages wait on a queue; undefined when there is none. */
  count: (queue: string) => Promise<number | undefined>
}

/** A client of the test's own, which is away as long as the server is. */
export async function rabbitClient (t: Test, url = rabbitUrl): Promise<RabbitClient> {
  const connection = await connect(url)
  connection.on('error', () => {})
  t.teardown(() => connection.close().catch(() => {}))
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  return {
    channel,
    send: async (exchange, key, payload, options) => {
      channel.publish(exchange, key, Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)), { persistent: true, contentType: 'application/json', ...options })
      await channel.waitForConfirms()
    },
    drain: async queue => {
      const found: GetMessage[] = []
      for (let message = await channel.get(queue, { noAck: true }); message !== false; message = await channel.get(queue, { noAck: true })) found.push(message)
      return found
    },
    count: async queue => {
      // One that is not there ends the channel.
      const probe = await connection.createChannel()
      probe.on('error', () => {})
      const reply = await probe.checkQueue(queue).catch(() => undefined)
      if (reply !== undefined) await probe.close()
      return reply?.messageCount
    }
  }
}

export interface RabbitServer { url: string, start: () => Promise<void>, kill: () => Promise<void> }

/** A RabbitMQ of the test's own, which keeps what it stores over a restart, and ends with the test. Its start takes seconds. */
export async function rabbitServer (t: Test, config = ''): Promise<RabbitServer> {
  const [port, distPort] = [await freePort(), await freePort()]
  const folder = t.testdir({})
  writeFileSync(join(folder, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\n${config}\n`)
  writeFileSync(join(folder, 'enabled_plugins'), '[].\n')
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    RABBITMQ_NODENAME: `keel-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null'
  }
  const url = `amqp://guest:guest@127.0.0.1:${port}`
  let child: ChildProcess | undefined

  async function start (): Promise<void> {
    child = spawn(...alone(program ?? '', [], env), { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => { output += String(chunk) })
    while (!output.includes('completed with')) {
      if (child.exitCode !== null) throw new Error(`rabbitmq-server has ended:\n${output}`)
      await sleep(50)
    }
  }
  async function kill (): Promise<void> {
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    process.kill(-child.pid, 'SIGKILL')
    await once(child, 'exit')
  }
  t.teardown(kill)
  await start()
  return { url, start, kill }
}
