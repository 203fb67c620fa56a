import type { Socket } from 'node:net'
import { closeStatements, findTraces, refuseCopy, renameStatement } from './statements.ts'
import type { Traces } from './statements.ts'
import { SYNC } from './wire.ts'

/** Messages that are run in one go, up to a Query, a Sync or a Flush. */
export interface Unit {
  bytes: Buffer
  /** Ends with a Query or Sync, so that the backend says when it is ready again. */
  final: boolean
  traces: Traces[]
  /** Key of a session-level advisory lock that must be free first. */
  lock: string | undefined
}

let ids = 0

/** One client: the messages it has sent, and what it leaves in the shared backend session. */
export class Session {
  readonly socket: Socket
  readonly pending: Unit[] = []
  readonly channels = new Set<string>()
  greeted = false
  gone = false
  /** When the backend last did something for this client, in ms. */
  lastRun = Date.now()
  /** Names of the settings of the application's own (`app.tenant`). */
  readonly customs = new Set<string>()
  /** SQL that gives the backend this client's settings back; undefined when it has none of its own. */
  settings: string | undefined
  readonly #prefix = `${++ids}:`
  readonly #statements = new Set<string>()
  #messages: Buffer[] = []
  #traces: Traces[] = []

  constructor (socket: Socket) {
    this.socket = socket
  }

  /** Takes one message; true when a unit became ready. */
  accept (bytes: Buffer): boolean {
    const { bytes: renamed, defines, drops } = renameStatement(refuseCopy(bytes), this.#prefix)
    if (defines) this.#statements.add(defines)
    if (drops) this.#statements.delete(drops)
    const traces = findTraces(bytes)
    if (traces) this.#traces.push(traces)
    this.#messages.push(renamed)
    const type = String.fromCharCode(bytes[0] ?? 0)
    if (!'QSHF'.includes(type)) return false
    this.pending.push({
      bytes: Buffer.concat(this.#messages),
      final: type !== 'H',
      traces: this.#traces,
      lock: this.#traces.flatMap(({ locks }) => locks)[0]
    })
    this.#messages = []
    this.#traces = []
    return true
  }

  /** Notes what a unit that has run leaves behind. True when the backend's LISTENs must be put right. */
  note (unit: Unit): boolean {
    let relisten = false
    for (const traces of unit.traces) {
      for (const name of traces.customs) this.customs.add(name)
      for (const channel of traces.listens) this.channels.add(channel)
      for (const channel of traces.unlistens) {
        relisten = true
        if (channel === '*') this.channels.clear()
        else this.channels.delete(channel)
      }
    }
    return relisten
  }

  /** Messages that take this client's prepared statements out of the backend session; undefined without any. */
  farewell (): Buffer | undefined {
    return this.#statements.size > 0 ? Buffer.concat([closeStatements(this.#statements), SYNC]) : undefined
  }
}
