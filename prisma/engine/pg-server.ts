import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { chmodSync } from 'node:fs'
import { setImmediate as breathe } from 'node:timers/promises'
import { Session } from './session.ts'
import { Settings } from './settings.ts'
import { MessageReader, READY, SYNC, fatal, isFrontendMessage, parseGreeting, query, readAnswer } from './wire.ts'
import type { Unit } from './session.ts'
import type { Answer } from './wire.ts'

// PGlite is one backend session. @electric-sql/pglite-socket hands it the
// clients' messages one by one, so that one client's Bind may meet another's
// unnamed statement and return the other's rows. Here a client keeps the backend
// from the first message of a batch to its Sync, and to the end of its transaction.

const MAX_CLIENTS = 200
const IDLE_IN_TRANSACTION_MS = 60_000
const CHECK_MS = 5_000

/** Runs frontend messages on the backend and returns its answer. */
export type Run = (bytes: Uint8Array) => Promise<Buffer[]>

export interface PgServer {
  /** Stops listening, ends the clients and waits for what runs. */
  close: () => Promise<void>
}

/**
 * Serves one backend to many clients on a Unix socket (mode 0600), each
 * transaction by itself; NOTIFY reaches every client that listens, and
 * `pg_advisory_lock(<number>)` makes clients wait for each other.
 * @param greeting the backend's answer to a start-up message
 */
export async function serve (run: Run, path: string, database: string, greeting: Buffer): Promise<PgServer> {
  const sessions = new Set<Session>()
  const waiting = new Set<Session>()
  const locks = new Map<string, Session>()
  const settings = new Settings(ask)
  let owner: Session | undefined
  let running: Promise<void> | undefined
  let relisten = false

  function connect (socket: Socket): void {
    const session = new Session(socket)
    const reader = new MessageReader()
    sessions.add(session)
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk)
      try {
        for (let bytes = reader.next(!session.greeted); bytes; bytes = reader.next(!session.greeted)) take(session, bytes)
      } catch {
        socket.destroy()
      }
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => leave(session))
  }

  function take (session: Session, bytes: Buffer): void {
    if (!session.greeted) return greet(session, bytes)
    if (bytes[0] === 0x58) return void session.socket.end()
    if (!isFrontendMessage(bytes)) return void session.socket.end(fatal('08P01', `invalid frontend message type ${bytes[0]}`), () => session.socket.destroy())
    if (session.accept(bytes)) schedule(session)
  }

  function greet (session: Session, bytes: Buffer): void {
    const said = parseGreeting(bytes)
    if (said.kind === 'encryption') return void session.socket.write('N')
    if (said.kind !== 'startup') return void session.socket.destroy()
    const wanted = said.parameters.get('database') ?? said.parameters.get('user') ?? ''
    if (wanted !== database) return void session.socket.end(fatal('3D000', `database "${wanted}" does not exist`))
    if (sessions.size > MAX_CLIENTS) return void session.socket.end(fatal('53300', 'sorry, too many clients already'))
    session.greeted = true
    session.socket.write(greeting)
  }

  function leave (session: Session): void {
    session.gone = true
    session.pending.length = 0
    if (session.greeted) schedule(session)
    else sessions.delete(session)
  }

  function schedule (session: Session): void {
    waiting.add(session)
    running ??= drain().finally(() => { running = undefined })
  }

  function next (): Session | undefined {
    if (owner) return waiting.has(owner) ? owner : undefined
    for (const session of waiting) {
      const holder = locks.get(session.pending[0]?.lock ?? '')
      if (session.gone || holder === undefined || holder === session) return session
    }
  }

  async function drain (): Promise<void> {
    for (let session = next(); session; session = next()) {
      waiting.delete(session)
      if (session.gone) await cleanUp(session)
      else await work(session)
      if (relisten && !owner) await listen()
      await breathe()
    }
  }

  async function work (session: Session): Promise<void> {
    const unit = session.pending.shift()
    if (!unit) return
    if (!owner) await settings.prepare(session)
    const answer = await ask(unit.bytes)
    // After an error in a batch the backend skips all, a Query too, up to a Sync.
    const end = unit.final && !answer.status ? await ask(SYNC) : answer
    session.lastRun = Date.now()
    // Without this a broken backend would leave every client waiting.
    if (unit.final && !end.status) throw new Error('the embedded PostgreSQL did not finish a statement')
    owner = end.status === 'I' ? undefined : session
    settle(session, unit)
    if (!session.gone) session.socket.write(end === answer ? answer.bytes : Buffer.concat([answer.bytes, end.bytes]))
    if (session.pending.length > 0 || session.gone) waiting.add(session)
  }

  function settle (session: Session, unit: Unit): void {
    relisten = session.note(unit) || relisten
    for (const traces of unit.traces) {
      if (traces.settings) settings.changed(session)
      for (const key of traces.locks) locks.set(key, session)
      for (const key of traces.unlocks) if (locks.get(key) === session) locks.delete(key)
    }
  }

  async function cleanUp (session: Session): Promise<void> {
    sessions.delete(session)
    if (owner === session) {
      const { status } = await ask(SYNC)
      if (status !== 'I') await ask(query('ROLLBACK'))
      owner = undefined
    }
    await settings.forget(session)
    const farewell = session.farewell()
    if (farewell) await ask(farewell)
    for (const [key, holder] of locks) {
      if (holder !== session) continue
      locks.delete(key)
      await ask(query(`SELECT pg_advisory_unlock(${key})`))
    }
    relisten ||= session.channels.size > 0
  }

  /** The backend listens to what any client listens to. */
  async function listen (): Promise<void> {
    relisten = false
    const channels = new Set([...sessions].flatMap((session) => [...session.channels]))
    const commands = [...channels].map((channel) => `LISTEN "${channel.replaceAll('"', '""')}"`)
    await ask(query(['UNLISTEN *', ...commands].join(';')))
  }

  async function ask (bytes: Uint8Array): Promise<Answer> {
    const answer = readAnswer(await run(bytes))
    for (const { channel, bytes } of answer.notifications) {
      for (const session of sessions) if (!session.gone && session.channels.has(channel)) session.socket.write(bytes)
    }
    return answer
  }

  const patrol = setInterval(() => {
    if (!owner || owner.gone || waiting.size === 0 || Date.now() - owner.lastRun < IDLE_IN_TRANSACTION_MS) return
    owner.socket.end(fatal('25P03', 'terminating connection due to idle-in-transaction timeout'), () => owner?.socket.destroy())
  }, CHECK_MS).unref()

  const server = createServer(connect)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  chmodSync(path, 0o600)

  return {
    close: async () => {
      clearInterval(patrol)
      const closed = new Promise((resolve) => server.close(resolve))
      for (const { socket } of sessions) socket.end(fatal('57P01', 'terminating connection due to administrator command'), () => socket.destroy())
      await closed
      await running
    }
  }
}

/** The greeting every client gets: the backend's own answer to a start-up message. */
export async function askGreeting (run: Run, database: string): Promise<Buffer> {
  const words = Buffer.from(`user\0postgres\0database\0${database}\0\0`)
  const head = Buffer.alloc(8)
  head.writeInt32BE(words.length + 8)
  head.writeInt32BE(3 << 16, 4)
  const answer = Buffer.concat(await run(Buffer.concat([head, words])))
  return answer.subarray(-READY.length).equals(READY) ? answer : Buffer.concat([answer, READY])
}
