import type { Job } from './types.ts'

/** The service is shutting down: why an attempt was interrupted, or not begun. */
export class ShutdownError extends Error {
  override name = 'ShutdownError'
  override message = 'The service is shutting down'
}

/** The handler went on when its signal had fired. */
class LeftAloneError extends Error {}

/** What knows the handlers that run, and ends them. */
export interface Supervisor {
  /** Runs a handler until it ends, or does not end within a moment of its signal. Nothing begins any more once all are to end. */
  run: (job: Job, control: AbortController, taken: AbortSignal, handle: () => Promise<void>) => Promise<void>
  /** What runs has `graceMs`; then its signal fires. */
  stop: (graceMs: number) => void
  /** The queues of what runs, one for each. */
  names: () => string[]
  /** Resolves when nothing runs any more. */
  drained: () => Promise<void>
}

/** What a handler gets to stop by itself once its signal has fired; then it is left alone. */
const GIVE_UP_MS = 1_000

/** Sees to it that handlers end: at their time-out, when their job was taken away, at shutdown. */
export function createSupervisor (): Supervisor {
  const running = new Map<AbortController, { queue: string, ended: Promise<unknown> }>()
  let deadline: NodeJS.Timeout | undefined
  let isOver = false

  async function run ({ name: queue, timeoutSeconds }: Job, control: AbortController, taken: AbortSignal, handle: () => Promise<void>): Promise<void> {
    if (isOver) {
      control.abort(new ShutdownError())
      control.signal.throwIfAborted()
    }
    const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>()
    let patience: NodeJS.Timeout | undefined
    control.signal.addEventListener('abort', () => {
      patience = setTimeout(() => giveUp(new LeftAloneError(`${(control.signal.reason as Error).message}; the handler ignores its signal and was left alone`)), GIVE_UP_MS)
    })
    const timer = setTimeout(() => control.abort(new Error(`The time-out of ${timeoutSeconds} s has passed`)), timeoutSeconds * 1000)
    const onTaken = () => control.abort(new Error('The job was cancelled, or another worker has it'))
    taken.addEventListener('abort', onTaken, { once: true })
    const ended = Promise.race([handle(), givenUp])
    running.set(control, { queue, ended: ended.catch(() => {}) })
    try {
      await ended
    } finally {
      running.delete(control)
      clearTimeout(timer)
      clearTimeout(patience)
      taken.removeEventListener('abort', onTaken)
    }
  }

  return {
    run,
    stop: graceMs => {
      deadline ??= setTimeout(() => {
        isOver = true
        for (const control of running.keys()) control.abort(new ShutdownError())
      }, graceMs)
    },
    names: () => [...running.values()].map(({ queue }) => queue),
    drained: async () => {
      while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended))
      clearTimeout(deadline)
    }
  }
}

/** Why an attempt failed: once its signal has fired, that says more than how the handler ended for it. */
export function causeOf (error: unknown, signal: AbortSignal): unknown {
  return signal.aborted && !(error instanceof LeftAloneError) ? signal.reason : error
}
