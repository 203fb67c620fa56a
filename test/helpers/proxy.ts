import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** What stands between the service and its database: can be cut, and be there again. */
export interface Proxy { url: string, down: () => Promise<void>, up: () => Promise<void> }

/** Forwards to the TCP server of a URL. Ends with the test. */
export async function proxyOf (t: Test, target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const server: Server = createServer(near => {
    const far = connect(Number(port), hostname)
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from)
      from.on('error', () => {}).on('close', () => { sockets.delete(from); to.destroy() }).pipe(to)
    }
  })
  const listen = (at: number) => new Promise<void>(resolve => server.listen(at, '127.0.0.1', resolve))
  await listen(0)
  const at = (server.address() as AddressInfo).port
  const url = new URL(target)
  url.host = `127.0.0.1:${at}`
  const down = async () => {
    if (!server.listening) return
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.teardown(down)
  return { url: url.href, down, up: () => listen(at) }
}
