import { setTimeout as sleep } from 'node:timers/promises'
import { Readable } from 'node:stream'
import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { refuseExpired } from '../auth/expiry.ts'
import type { EventFilter } from '../events/index.ts'
import { PerUser } from '../events/per-user.ts'
import { EventStream } from './stream.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The open event streams of this process. */
    eventStreams: { readonly size: number }
  }
  interface FastifyReply {
    /**
     * Answers with the events that the filter lets through, as they are committed, until the client is
     * gone, its token expires or the service stops. They follow the one that `Last-Event-ID` names, or
     * `after` of a client that has not been here before; without either, those from now on.
     */
    sendEvents: (filter: EventFilter & { after?: string }) => void
    /** The stream of events that the answer is. */
    eventStream: EventStream | undefined
  }
}

const HEADERS = {
  'content-type': 'text/event-stream',
  // A proxy that stores, compresses or buffers would hold events back (x-accel-buffering is nginx's).
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  // Nothing follows on the connection: when the stream ends, it does.
  connection: 'close'
}
/** How often streams are looked at, at the least. */
const CHECK_MS = 1_000
/** At shutdown, for as long clients get to take the end of their streams. */
const FAREWELL_MS = 1_000
/** One that has too many streams has to close one first. */
const RETRY_AFTER_SECONDS = 10

/** Server-sent events: what the events plugin follows, as answers to requests. */
async function sse (fastify: FastifyInstance) {
  const { SSE_HEARTBEAT, SSE_STREAMS_MAX } = fastify.config
  const streams = new Set<EventStream>()
  const byUser = new PerUser()
  let timer: NodeJS.Timeout | undefined
  let closing = false

  fastify.decorate('eventStreams', streams)
  fastify.decorateReply('eventStream', undefined)
  fastify.decorateReply('sendEvents', function (filter) {
    if (closing) return void this.problem(503, 'The service is stopping.')
    if (refuseExpired(this.request, this)) return
    if (this.request.method === 'HEAD') return void this.headers(HEADERS).send(Readable.from([]))
    const last = this.request.headers['last-event-id']
    answer(this, typeof last === 'string' && last !== '' ? { ...filter, after: last } : filter).catch(error => this.send(error))
  })

  // Last of what sees the answer: Fastify's own way of sending streams holds several times the memory.
  fastify.addHook('onRoute', route => {
    if (!isDeclared(route)) return
    route.onSend = [...[route.onSend ?? []].flat(), ({ raw }, reply, payload, done) => {
      if (!(payload instanceof EventStream)) return done()
      reply.hijack()
      // Up to 16 KB that nobody looks at any more.
      raw.rawHeaders.length = 0
      raw.headers = {}
      payload.begin(reply.getHeaders() as OutgoingHttpHeaders)
    }]
  })

  async function answer (reply: FastifyReply, filter: EventFilter & { after?: string }): Promise<void> {
    const { id, expiresAt } = reply.request.user
    const stream = open(reply, id, expiresAt)
    try {
      stream.follow(await fastify.events.subscribe(stream, filter))
    } catch (error) {
      release(stream, id)
      throw error
    }
    reply.headers(HEADERS).send(stream)
  }

  function open (reply: FastifyReply, userId: string, expiresAt: number): EventStream {
    if (byUser.of(userId) >= SSE_STREAMS_MAX) throw Object.assign(new Error(`One may have ${SSE_STREAMS_MAX} streams open at a time.`), { code: 'TOO_MANY_STREAMS', statusCode: 429, retryAfter: RETRY_AFTER_SECONDS })
    byUser.add(userId)
    const stream = new EventStream(reply.raw, expiresAt, SSE_HEARTBEAT)
    streams.add(stream)
    reply.eventStream = stream
    reply.raw.once('close', () => {
      release(stream, userId)
      // A response that was cut has an end for Fastify (the log, onResponse hooks) if there is an error.
      if (reply.raw.headersSent && !reply.raw.writableFinished) reply.raw.emit('error', new Error('The stream was cut.'))
    })
    timer ??= setInterval(check, Math.min(CHECK_MS, SSE_HEARTBEAT / 4)).unref()
    return stream
  }

  function release (stream: EventStream, userId: string): void {
    stream.close('client')
    if (!streams.delete(stream)) return
    byUser.delete(userId)
    if (streams.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  /** One timer for all. */
  function check (): void {
    const [now, wallTime] = [performance.now(), Date.now()]
    for (const stream of streams) stream.check(now, wallTime)
  }

  // Before the server waits for its connections: these would never end by themselves.
  fastify.addHook('preClose', async () => {
    closing = true
    for (const stream of streams) stream.finish('shutdown')
    const deadline = performance.now() + FAREWELL_MS
    while (streams.size > 0 && performance.now() < deadline) await sleep(10)
    for (const stream of streams) stream.cut()
  })
}

/** Whether a route says that it answers with events. */
function isDeclared ({ schema }: RouteOptions): boolean {
  const { 200: ok } = (schema?.response ?? {}) as Record<number, { content?: object } | undefined>
  return ok?.content !== undefined && 'text/event-stream' in ok.content
}

export default fp(sse, { name: 'sse', dependencies: ['config', 'errors', 'auth', 'events', 'shutdown'] })
