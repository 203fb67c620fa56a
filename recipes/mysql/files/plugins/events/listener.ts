/** How often the log is looked at: MySQL and MariaDB tell nobody that there is something new. REDIS_URL has the processes tell each other. */
const POLL_MS = 500

/** Where the events are. */
export interface Source { url: string, schema: string | undefined }

export interface Listener { close: () => Promise<void> }

/** Calls `onWake` now and then: there may be events of other processes. */
export function listen (onWake: () => void): Listener {
  const poll = setInterval(onWake, POLL_MS).unref()
  return { close: async () => clearInterval(poll) }
}
