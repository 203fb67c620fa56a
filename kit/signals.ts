const SAME_MS = 500

/**
 * What a parent process does to the service beside an ordinary signal. Call before any signal listener exists.
 *
 * Ctrl-C, or a kill of the process group, reaches the service twice: once itself
 * and once more because npm passes on what it got. fastify-cli takes a second signal for
 * impatience and exits at once, with requests under way. So the same signal
 * within half a second counts once.
 *
 * Before the service listens to signals there is nothing to finish: it ends at once, also as process 1 of a
 * container, which a signal that nobody listens to does not end.
 *
 * `npm run dev` runs the service as a child of its watcher, which ends at a signal
 * without a word to it: who loses its parent ends as on SIGTERM, unless it does so already.
 */
export function heedParent (): void {
  const emit = process.emit as (event: string | symbol, ...args: unknown[]) => boolean
  const seen = new Map<string | symbol, number>()
  let count = 0
  const filtered = function (this: NodeJS.Process, event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const now = performance.now()
      const before = seen.get(event)
      if (before !== undefined && now - before < SAME_MS) return true
      seen.set(event, now)
      count++
    }
    return emit.call(this, event, ...args)
  }
  process.emit = filtered as typeof process.emit
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => { if (process.listenerCount(signal) === 1) process.exit(count > 1 ? 1 : 0) })
  }
  if (process.send !== undefined) process.once('disconnect', () => { if (seen.size === 0) process.kill(process.pid, 'SIGTERM') })
}
