// The thread that runs PGlite and serves it: WebAssembly never blocks the
// service's own event loop.
import { existsSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { DATABASE, START_PARAMS, newCluster, unpackCluster } from './cluster.ts'
import { askGreeting, serve } from './pg-server.ts'
import type { MessagePort } from 'node:worker_threads'

/** What the thread is to serve: a folder that it creates when missing, or a copy in memory. */
export interface WorkerInput {
  socket: string
  folder?: string
  load?: Uint8Array<ArrayBuffer>
}

export type WorkerRequest = { type: 'close' } | { type: 'dump', id: number }

export type WorkerReport =
  | { type: 'ready' }
  | { type: 'failed', message: string }
  | { type: 'dumped', id: number, dump?: Uint8Array<ArrayBuffer>, message?: string }
  | { type: 'closed' }

async function open ({ folder, load }: WorkerInput): Promise<PGlite> {
  const common = { startParams: START_PARAMS, onStderr: watch }
  if (folder === undefined) {
    return await PGlite.create({ ...common, dataDir: 'memory://', loadDataDir: new Blob([load ?? await newCluster()]) })
  }
  if (!existsSync(folder)) unpackCluster(await newCluster(), folder)
  return await PGlite.create({ ...common, dataDir: folder })
}

/** After a PANIC (a full disk, say) this instance is unusable; a new one recovers from its log. */
function watch (line: string): boolean {
  if (/\bPANIC:/.test(line)) process.exit(1)
  return false
}

async function main (input: WorkerInput, port: MessagePort): Promise<void> {
  const report = (message: WorkerReport, moved: ArrayBuffer[] = []): void => port.postMessage(message, moved)
  const db = await open(input)
  const run = async (bytes: Uint8Array): Promise<Buffer[]> => {
    const chunks: Buffer[] = []
    await db.execProtocolRawStream(bytes, { onRawData: (chunk) => chunks.push(Buffer.from(chunk)) })
    return chunks
  }
  const server = await serve(run, input.socket, DATABASE, await askGreeting(run, DATABASE))

  port.on('message', async (request: WorkerRequest) => {
    if (request.type === 'dump') {
      try {
        await db.exec('CHECKPOINT')
        const dump = new Uint8Array(await (await db.dumpDataDir('none')).arrayBuffer())
        report({ type: 'dumped', id: request.id, dump }, [dump.buffer])
      } catch (error) {
        report({ type: 'dumped', id: request.id, message: text(error) })
      }
    } else {
      await server.close()
      await db.close()
      report({ type: 'closed' })
      port.close()
    }
  })
  report({ type: 'ready' })
}

function text (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

if (parentPort) {
  const port = parentPort
  main(workerData as WorkerInput, port).catch((error: unknown) => {
    port.postMessage({ type: 'failed', message: text(error) } satisfies WorkerReport)
    port.close()
  })
}
