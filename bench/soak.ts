// Whether the service keeps what it should let go: `TEST_DATABASE_URL=… node bench/soak.ts [MINUTES] [LIMIT]`.
// Half the load that it sustains for MINUTES (30), beside 20 streams of events; its heap after a garbage collection
// when it is warm (a tenth of the time, at least 10 s) and at the end. Exit status 1 when the heap has
// grown by more than LIMIT percent (5), or a request failed. What a busy machine makes the service refuse (503) is counted.
import { once } from 'node:events'
import { request } from 'node:http'
import { freePort } from '../test/helpers/process.ts'
import { startTarget } from './load.ts'

const minutes = Number(process.argv[2] ?? 30)
const limit = Number(process.argv[3] ?? 5)
const STREAMS = 20
const MIB = 1024 * 1024

const inspector = await freePort()
const target = await startTarget({ NODE_OPTIONS: `--inspect=127.0.0.1:${inspector}` })
const { collect, disconnect } = await connectInspector()
const streams = Array.from({ length: STREAMS }, () => request({ port: target.port, host: '127.0.0.1', path: '/orders/events', headers: { authorization: `Bearer ${target.token()}` } }, response => response.resume()).on('error', () => {}).end())

const rate = await target.sustain(5) / 2
const warmUp = Math.max(10, minutes * 6)
const rest = minutes * 60 - warmUp
const statuses = new Map<number, number>()
const count = ({ status }: { status: number }) => { statuses.set(status, (statuses.get(status) ?? 0) + 1) }
say(`${Math.round(rate)} requests a second for ${minutes} minutes`)
await target.at(rate, warmUp, count)
const warm = await collect()
say(`warm: heap ${mib(warm)}, resident ${target.memory()} MB`)
for (let part = 1; part <= 5; part++) {
  await target.at(rate, rest / 5, count)
  say(`after ${((warmUp + rest / 5 * part) / 60).toFixed(1)} minutes: heap ${mib(await collect())}, resident ${target.memory()} MB`)
}
const end = await collect()
const growth = (end / warm - 1) * 100
for (const stream of streams) stream.destroy()
// The service would wait for its debugger.
disconnect()
await target.close()

const failed = [...statuses].filter(([status]) => status === 0 || (status >= 300 && status !== 503))
say(`heap after garbage collection: ${mib(warm)} warm, ${mib(end)} at the end, ${growth.toFixed(1)} %; ${[...statuses].map(([status, n]) => `${n} × ${status}`).join(', ')}`)
if (growth > limit || failed.length > 0) process.exitCode = 1

/** @returns `collect`, which has the service collect its garbage and gives the bytes of its heap that are in use */
async function connectInspector (): Promise<{ collect: () => Promise<number>, disconnect: () => void }> {
  const [{ webSocketDebuggerUrl }] = await (await fetch(`http://127.0.0.1:${inspector}/json/list`)).json() as [{ webSocketDebuggerUrl: string }]
  const socket = new WebSocket(webSocketDebuggerUrl)
  await once(socket, 'open')
  let id = 0
  const call = async (method: string): Promise<{ usedSize: number }> => {
    socket.send(JSON.stringify({ id: ++id, method }))
    const [{ data }] = await once(socket, 'message') as [MessageEvent]
    return (JSON.parse(String(data)) as { result: { usedSize: number } }).result
  }
  const collect = async () => {
    // What is let go by finalizers is collected by the next.
    for (let n = 0; n < 3; n++) await call('HeapProfiler.collectGarbage')
    return (await call('Runtime.getHeapUsage')).usedSize
  }
  return { collect, disconnect: () => socket.close() }
}

function mib (bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}
