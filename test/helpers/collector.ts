// A collector of traces: OTLP over HTTP, the spans as far as tests look at them.
// https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto/trace/v1
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Span { traceId: string, spanId: string, parentSpanId: string, name: string, kind: number, attributes: Record<string, string | number>, status: number }
export interface Collector {
  url: string
  spans: Span[]
  /** All that came, as text. */
  text: () => string
}

/** The kinds of spans. */
export const kinds = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 }

type Field = Buffer | number
type Message = Map<number, Field[]>

/** Starts a collector. Ends with the test. */
export async function startCollector (t: Test): Promise<Collector> {
  const bodies: Buffer[] = []
  const spans: Span[] = []
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/x-protobuf') return void response.writeHead(404).end()
    bodies.push(body)
    spans.push(...spansOf(body))
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, text: () => bodies.map(body => body.toString('latin1')).join('\n') }
}

function spansOf (body: Buffer): Span[] {
  return messages(read(body), 1).flatMap(resource => messages(resource, 2)).flatMap(scope => messages(scope, 2)).map(span => ({
    traceId: bytes(span, 1).toString('hex'),
    spanId: bytes(span, 2).toString('hex'),
    parentSpanId: bytes(span, 4).toString('hex'),
    name: bytes(span, 5).toString(),
    kind: number(span, 6),
    attributes: Object.fromEntries(messages(span, 9).map(pair => {
      const [value = new Map()] = messages(pair, 2) as Message[]
      return [bytes(pair, 1).toString(), value.has(1) ? bytes(value, 1).toString() : number(value, 3)]
    })),
    status: number(messages(span, 15)[0] ?? new Map(), 3)
  }))
}

/** Protocol Buffers' wire format: the fields of a message by their numbers. */
function read (buffer: Buffer): Message {
  const fields: Message = new Map()
  let at = 0
  const varint = () => {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = buffer[at++]!
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
  while (at < buffer.length) {
    const tag = varint()
    const wire = tag & 7
    const length = wire === 2 ? varint() : wire === 1 ? 8 : 4
    const value = wire === 0 ? varint() : buffer.subarray(at, at += length)
    fields.set(tag >> 3, [...fields.get(tag >> 3) ?? [], value])
  }
  return fields
}

const bytes = (message: Message, field: number) => Buffer.from((message.get(field)?.[0] ?? '') as Buffer)
const number = (message: Message, field: number) => Number(message.get(field)?.[0] ?? 0)
const messages = (message: Message, field: number) => (message.get(field) ?? []).map(value => read(value as Buffer))
