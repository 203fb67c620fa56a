// An HTTP/1.1 client that costs little: what makes the load runs on the cores of the service, and node:http takes as long
// for a request as the service for its refusal. Knows what the service sends: Content-Length, keep-alive, no chunks.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** What became of a request: its status (0 when the connection broke, with the reason) and how long that took. */
export interface Answer { status: number, ms: number, retryAfter: string | undefined, error?: string }

const HEAD_END = '\r\n\r\n'
const BODILESS = new Set([204, 304])

/**
 * Connections that are kept, as a balancer keeps them: libuv accepts one a turn of the event loop, so that a client
 * who opened one for each request would measure that. A request takes a free one, or waits for it; the wait counts.
 */
export class Client {
  readonly #port: number
  readonly #free: Socket[] = []
  readonly #waiting: ((socket: Socket) => void)[] = []
  readonly #all = new Set<Socket>()

  private constructor (port: number) {
    this.#port = port
  }

  static async open (port: number, connections: number): Promise<Client> {
    const client = new Client(port)
    for (let n = 0; n < connections; n++) client.#free.push(await client.#connect())
    // One that has sent nothing is soon closed; one that has had an answer is kept.
    await Promise.all(client.#free.map(() => client.send('GET', '/health/live')))
    return client
  }

  async send (method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Answer> {
    const began = performance.now()
    // What waits longest goes first, so that none is idle for long.
    const socket = this.#free.shift() ?? await new Promise<Socket>(resolve => this.#waiting.push(resolve))
    const lines = Object.entries({ host: '127.0.0.1', ...headers, ...body === '' ? {} : { 'content-type': 'application/json', 'content-length': body.length } })
    const answer = new Promise<Omit<Answer, 'ms'>>(resolve => {
      let text = ''
      const settle = (answer: Omit<Answer, 'ms'>, isOpen: boolean) => {
        socket.off('data', read).off('close', closed).off('error', failed)
        void this.#release(socket, isOpen)
        resolve(answer)
      }
      const read = (chunk: string) => {
        text += chunk
        const end = text.indexOf(HEAD_END)
        if (end < 0) return
        const head = text.slice(0, end)
        const status = Number(head.slice(9, 12))
        const length = BODILESS.has(status) ? 0 : Number(field(head, 'content-length'))
        if (text.length < end + HEAD_END.length + length) return
        settle({ status, retryAfter: field(head, 'retry-after') }, field(head, 'connection') !== 'close')
      }
      const closed = () => settle({ status: 0, retryAfter: undefined, error: 'closed' }, false)
      const failed = (error: NodeJS.ErrnoException) => settle({ status: 0, retryAfter: undefined, error: error.code ?? error.message }, false)
      socket.on('data', read).on('close', closed).on('error', failed)
    })
    socket.write(`${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`)
    return { ...await answer, ms: performance.now() - began }
  }

  close (): void {
    for (const socket of this.#all) socket.destroy()
  }

  async #release (socket: Socket, isOpen: boolean): Promise<void> {
    if (!isOpen) socket.destroy()
    const next = isOpen ? socket : await this.#connect()
    const waiting = this.#waiting.shift()
    if (waiting) waiting(next)
    else this.#free.push(next)
  }

  async #connect (): Promise<Socket> {
    // One byte a character: lengths are in bytes.
    const socket = connect(this.#port, '127.0.0.1').setNoDelay().setEncoding('latin1')
    this.#all.add(socket)
    socket.on('error', () => {}).once('close', () => {
      this.#all.delete(socket)
      const index = this.#free.indexOf(socket)
      if (index >= 0) this.#free.splice(index, 1)
    })
    await once(socket, 'connect')
    return socket
  }
}

function field (head: string, name: string): string | undefined {
  return new RegExp(`\\r\\n${name}: ([^\\r]*)`, 'i').exec(head)?.[1]
}
