import { Agent, createServer, request, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { answers } from './process.ts'

const PROBE_MS = 100

/**
 * A balancer in front of several processes: in turn those whose /health/ready says so. Where nobody listens
 * it goes to the next; it sends nothing twice: what a process does not answer is a 502. Ends with the test.
 */
export async function createBalancer (t: Test, targets: string[]): Promise<{ url: string, ready: () => string[] }> {
  let ready = targets
  let turn = 0
  const over = new AbortController()
  const agent = new Agent({ keepAlive: true })
  const probing = (async () => {
    while (!over.signal.aborted) {
      const found = await Promise.all(targets.map(target => answers(`${target}/health/ready`, 200)))
      const answering = targets.filter((_, index) => found[index])
      // As balancers do: where none says that it is ready, each may be.
      ready = answering.length > 0 ? answering : targets
      await sleep(PROBE_MS)
    }
  })()
  const next = (tried: string[]) => {
    const untried = [ready, targets].map(some => some.filter(target => !tried.includes(target)))
    const left = untried.find(some => some.length > 0) ?? []
    return left[turn++ % left.length]
  }
  const toTarget = ({ method, url, headers }: IncomingMessage, target: string | undefined, agent?: Agent) => request(new URL(url ?? '/', target), { method, headers, agent })

  const sockets = new Set<Socket>()
  const server = createServer(async (incoming, outgoing) => {
    const body = await buffer(incoming)
    const forward = (tried: string[]) => {
      const target = next(tried)
      if (target === undefined) return outgoing.writeHead(502).end()
      const forwarded = toTarget(incoming, target, agent)
      forwarded.on('response', response => {
        outgoing.writeHead(response.statusCode ?? 502, response.headers)
        response.on('error', () => outgoing.destroy()).pipe(outgoing)
      })
      forwarded.on('error', (error: NodeJS.ErrnoException) => {
        if (outgoing.headersSent) outgoing.destroy()
        else if (error.code === 'ECONNREFUSED') forward([...tried, target])
        else outgoing.writeHead(502).end()
      })
      outgoing.on('close', () => { if (!outgoing.writableFinished) forwarded.destroy() })
      forwarded.end(body)
    }
    forward([])
  })
  server.on('upgrade', (incoming, socket: Socket) => {
    const forwarded = toTarget(incoming, next([]))
    forwarded.on('upgrade', (response, other: Socket) => {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${response.rawHeaders.map((text, index) => text + (index % 2 === 0 ? ': ' : '\r\n')).join('')}\r\n`)
      for (const [one, two] of [[socket, other], [other, socket]] as const) one.on('error', () => {}).on('close', () => two.destroy()).pipe(two)
    })
    forwarded.on('response', () => socket.destroy()).on('error', () => socket.destroy()).end()
  })
  server.on('connection', socket => sockets.add(socket.once('close', () => sockets.delete(socket))))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    over.abort()
    await probing
    agent.destroy()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  while (!(await Promise.all(targets.map(target => answers(`${target}/health/ready`, 200)))).every(Boolean)) await sleep(PROBE_MS)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ready: () => ready }
}
