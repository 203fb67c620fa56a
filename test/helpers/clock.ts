import type { Test } from 'tap'

const HOUR_MS = 3_600_000

/** Sets the clock of this process back by an hour, as an operator may do. Ends with the test. */
export function setClockBack (t: Test): void {
  const { now } = Date
  Date.now = () => now() - HOUR_MS
  t.teardown(() => { Date.now = now })
}
