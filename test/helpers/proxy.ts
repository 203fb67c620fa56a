import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { freePort } from './process.ts'

/** A way to a database server that can be cut. */
export interface Proxy {
  url: string
  open: () => Promise<void>
  cut: () => Promise<void>
  /** From now on nothing passes on the connections that there are, and nobody is told; new ones are as ever. */
  silence: () => void
}

/** A proxy on this machine to the server of a URL; closed at first. Ends with the test. */
export async function createProxy (t: Test, url: string): Promise<Proxy> {
  const port = await freePort()
  const { hostname, port: targetPort } = new URL(url)
  // A percent-encoded path is a Unix socket.
  const target = hostname.startsWith('%2F') ? { path: `${decodeURIComponent(hostname)}/.s.PGSQL.5432` } : { host: hostname, port: Number(targetPort || 5432) }
  const sockets = new Set<Socket>()
  let server: Server | undefined
  const proxied = new URL(url)
  proxied.host = `127.0.0.1:${port}`
  const cut = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>(resolve => server ? server.close(() => resolve()) : resolve())
    server = undefined
  }
  t.teardown(cut)
  return {
    url: proxied.href,
    cut,
    silence: () => {
      for (const socket of sockets) socket.unpipe().resume()
    },
    open: async () => {
      server = createServer(socket => {
        const other = connect(target)
        for (const [one, two] of [[socket, other], [other, socket]] as const) {
          sockets.add(one)
          one.on('error', () => {}).on('close', () => { sockets.delete(one); two.destroy() }).pipe(two)
        }
      })
      await new Promise<void>(resolve => server?.listen(port, '127.0.0.1', resolve))
    }
  }
}
