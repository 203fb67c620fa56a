import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { Webhook } from 'standardwebhooks'

export const newSecret = () => `whsec_${randomBytes(32).toString('base64')}`

/** A webhook as it came. `event` is there when its signature and timestamp are right. */
export interface Received { id: string, headers: Record<string, string>, body: string, event?: { id: string, type: string, at: string, n?: number } }

/** A receiver of webhooks that checks them with the library of the specification, and takes each id once. */
export interface Receiver {
  url: string
  /** Everything that came. */
  received: Received[]
  /** What it accepted: with a right signature, and not before. */
  accepted: Received[]
  /** What a request is answered with; 204 if this is not set or does nothing. */
  answer?: (webhook: Received, response: ServerResponse, request: IncomingMessage) => void
}

/** Starts a receiver. Ends with the test. */
export async function startReceiver (t: Test, secret: string): Promise<Receiver> {
  const seen = new Set<string>()
  const server = createServer(async (request, response) => {
    const webhook = await read(request, secret)
    receiver.received.push(webhook)
    receiver.answer?.(webhook, response, request)
    if (response.headersSent || request.socket.destroyed || holds.has(response)) return
    if (webhook.event === undefined) return void response.writeHead(401).end()
    if (!seen.has(webhook.id)) receiver.accepted.push(webhook)
    seen.add(webhook.id)
    response.writeHead(204).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const receiver: Receiver = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, received: [], accepted: [] }
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return receiver
}

const holds = new WeakSet<ServerResponse>()
/** Leaves a request without an answer. */
export function hold (response: ServerResponse): void {
  holds.add(response)
}

async function read (request: IncomingMessage, secret: string): Promise<Received> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  const headers = request.headers as Record<string, string>
  const webhook = { id: headers['webhook-id'] ?? '', headers, body }
  try {
    return { ...webhook, event: new Webhook(secret).verify(body, headers) as Received['event'] }
  } catch {
    return webhook
  }
}
