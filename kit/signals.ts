const SAME_MS = 500

/**
 * Ctrl-C, or a kill of the process group, reaches the service twice: once itself
 * and once more because npm passes on what it got. fastify-cli takes a second signal for
 * impatience and exits at once, with requests under way. So the same signal
 * within half a second counts once. Call before any signal listener exists.
 */
export function ignoreForwardedSignals (): void {
  const emit = process.emit as (event: string | symbol, ...args: unknown[]) => boolean
  const seen = new Map<string | symbol, number>()
  const filtered = function (this: NodeJS.Process, event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const now = performance.now()
      const before = seen.get(event)
      if (before !== undefined && now - before < SAME_MS) return true
      seen.set(event, now)
    }
    return emit.call(this, event, ...args)
  }
  process.emit = filtered as typeof process.emit
}
