// SET changes the one backend session that all clients share: before another client
// has its turn, a client's settings are read and taken out, and later put back.
import type { Session } from './session.ts'
import { query, readText } from './wire.ts'
import type { Answer } from './wire.ts'

const SET = "string_agg(format('SELECT set_config(%L, %L, false)', name, value), ';')"
const CHANGED = "SELECT name, setting AS value FROM pg_settings WHERE source = 'session' AND context IN ('user', 'superuser')"
const RESET = 'RESET SESSION AUTHORIZATION; RESET ALL'

/** Keeps the settings of the clients apart. */
export class Settings {
  readonly #ask: (bytes: Buffer) => Promise<Answer>
  /** The client whose settings the backend has. */
  #current: Session | undefined

  constructor (ask: (bytes: Buffer) => Promise<Answer>) {
    this.#ask = ask
  }

  /** The client may have changed settings. */
  changed (session: Session): void {
    this.#current = session
  }

  /** Makes the backend ready for a client. To be called outside a transaction. */
  async prepare (session: Session): Promise<void> {
    if (this.#current === session || (!this.#current && session.settings === undefined)) return
    if (this.#current) {
      this.#current.settings = readText((await this.#ask(query(read(this.#current.customs)))).bytes)
      await this.#ask(query(RESET))
      this.#current = undefined
    }
    if (session.settings === undefined) return
    await this.#ask(query(session.settings))
    this.#current = session
  }

  /** The client has left. */
  async forget (session: Session): Promise<void> {
    if (this.#current !== session) return
    this.#current = undefined
    await this.#ask(query(RESET))
  }
}

function read (customs: Set<string>): string {
  const names = [...customs].map((name) => `'${name}'`).join(', ')
  const own = `SELECT name, current_setting(name, true) FROM unnest(ARRAY[${names}]::text[]) AS own (name)`
  return `SELECT ${SET} FROM (${CHANGED} UNION ALL ${own}) AS changed WHERE value IS NOT NULL`
}
