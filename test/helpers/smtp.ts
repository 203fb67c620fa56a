import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Test } from 'tap'

/** A mail server on this machine and what it has taken. */
export interface MailServer { url: string, mails: string[] }

/** Starts a mail server; `options` may refuse. Ends with the test. */
export async function startMailServer (t: Test, options: SMTPServerOptions = {}, port = 0): Promise<MailServer> {
  const mails: string[] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData: (stream, _session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => { mails.push(String(Buffer.concat(chunks))); done() })
    },
    ...options
  })
  server.on('error', () => {})
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => new Promise<void>(resolve => server.close(resolve)))
  return { url: `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`, mails }
}

/** A server that takes connections and never says a word. */
export async function startSilentServer (t: Test): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => sockets.add(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A mail server that answers when it is told to. */
export interface Tarpit {
  url: string
  mails: string[]
  /** What it was asked last and has not answered. */
  asked: () => string
  /** Lets it answer what it was asked. */
  answer: () => void
  /** Its open connections. */
  open: () => number
}

/** Starts a mail server that takes its time. */
export async function startTarpit (t: Test): Promise<Tarpit> {
  const mails: string[] = []
  const sockets = new Set<Socket>()
  let question = ''
  let reply: (() => void) | undefined
  const server = createServer(socket => {
    let text = ''
    let isMessage = false
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    const ask = (asked: string, line: string) => {
      question = asked
      reply = () => { if (socket.writable) socket.write(`${line}\r\n`) }
    }
    ask('greeting', '220 tarpit')
    socket.on('data', chunk => {
      text += String(chunk)
      if (!text.endsWith(isMessage ? '\r\n.\r\n' : '\r\n')) return
      if (isMessage) mails.push(text)
      const said = isMessage ? 'message' : text.trim()
      isMessage = said === 'DATA'
      text = ''
      ask(said, isMessage ? '354 go on' : '250 well')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const answer = () => {
    reply?.()
    question = ''
    reply = undefined
  }
  return { url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`, mails, asked: () => question, answer, open: () => sockets.size }
}
