import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { WorkerInput, WorkerReport, WorkerRequest } from './embedded-worker.ts'

const CLOSE_MS = 5_000
const RESTARTS = 3

/** A running database thread. */
export interface Thread {
  dump: () => Promise<Buffer<ArrayBuffer>>
  close: () => Promise<void>
}

/**
 * Starts the thread and waits until its database answers. One that dies later is
 * started again (three times): a folder then recovers from its log, as after kill -9.
 * @throws Error with PGlite's message when it can't start
 */
export async function startThread (input: WorkerInput): Promise<Thread> {
  const dumps = new Map<number, { resolve: (dump: Buffer<ArrayBuffer>) => void, reject: (error: Error) => void }>()
  let worker = await start(input)
  let closing = false
  let restarts = 0
  let dumpIds = 0
  watch()

  function watch (): void {
    worker.on('message', (report: WorkerReport) => {
      if (report.type !== 'dumped') return
      const waiting = dumps.get(report.id)
      dumps.delete(report.id)
      if (report.dump) waiting?.resolve(Buffer.from(report.dump.buffer))
      else waiting?.reject(new Error(report.message))
    })
    worker.on('error', (error: Error) => process.emitWarning(`The embedded PostgreSQL failed: ${error.message}`))
    worker.once('exit', () => {
      for (const { reject } of dumps.values()) reject(new Error('the embedded PostgreSQL stopped'))
      dumps.clear()
      if (!closing) void again()
    })
  }

  async function again (): Promise<void> {
    if (input.folder === undefined || restarts++ >= RESTARTS) return process.emitWarning('The embedded PostgreSQL stopped.')
    process.emitWarning('The embedded PostgreSQL stopped; it is started again.')
    rmSync(input.socket, { force: true })
    try {
      worker = await start(input)
      watch()
    } catch (error) {
      process.emitWarning(`The embedded PostgreSQL could not be started again: ${String(error)}`)
    }
  }

  return {
    dump: () => new Promise((resolve, reject) => {
      dumps.set(++dumpIds, { resolve, reject })
      worker.postMessage({ type: 'dump', id: dumpIds } satisfies WorkerRequest)
    }),
    close: async () => {
      closing = true
      const gone = new Promise((resolve) => worker.once('exit', resolve))
      worker.postMessage({ type: 'close' } satisfies WorkerRequest)
      // A statement that doesn't end must not keep the process; what is committed is in the log.
      const impatient = setTimeout(() => { void worker.terminate() }, CLOSE_MS)
      if (worker.threadId !== -1) await gone
      clearTimeout(impatient)
      rmSync(input.socket, { force: true })
    }
  }
}

async function start (input: WorkerInput): Promise<Worker> {
  const worker = new Worker(new URL('./embedded-worker.ts', import.meta.url), { workerData: input, transferList: input.load ? [input.load.buffer] : [], execArgv: [] })
  const started = new AbortController()
  const { signal } = started
  const stopped = once(worker, 'exit', { signal }).then(() => { throw new Error('it stopped while starting') })
  stopped.catch(() => {})
  try {
    // once() rejects with the thread's 'error' too.
    const [report] = await Promise.race([once(worker, 'message', { signal }), stopped]) as [WorkerReport]
    if (report.type === 'failed') throw new Error(report.message)
  } finally {
    // Not removeAllListeners(): Node's own listener, which delivers later messages, would go with ours.
    started.abort()
  }
  return worker
}
