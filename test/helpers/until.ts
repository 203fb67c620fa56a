import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 25
/** After so long without what is waited for, it will not come. */
export const PATIENCE_MS = 60_000

/** Waits until a condition holds; how long that takes is not a test's business. */
export async function until<T> (condition: () => T | Promise<T>): Promise<NonNullable<T>> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`still not so: ${String(condition)}`)
    await sleep(POLL_MS)
  }
}
