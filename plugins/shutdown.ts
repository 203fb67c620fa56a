import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    shutdown: Shutdown
  }
}

export interface Shutdown {
  /** Milliseconds that what is under way still has: SHUTDOWN_GRACE_MS, until it begins to run. */
  remainingMs: () => number
  /** Adds something that has to end before the service does: `open` names what has not. */
  watch: (kind: string, open: () => Iterable<string>) => void
}

/** More names of one kind say no more. */
const MAX_NAMES = 20
const SWEEP_MS = 50

/**
 * The order in which the service stops: it is not ready any more, SHUTDOWN_DELAY_MS pass for balancers
 * to notice, streams and sockets are told to come back elsewhere, no new connections are taken, and what
 * is under way has SHUTDOWN_GRACE_MS. What is open after that is named and cut off, and `close()`
 * rejects: the process exits with 1.
 *
 * Who depends on this plugin has preClose hooks that run after the delay.
 */
async function shutdown (fastify: FastifyInstance) {
  const { config, log } = fastify
  const watched = new Map<string, () => Iterable<string>>()
  const requests = new Set<FastifyReply>()
  let isDraining = false
  let hasServed = false
  let deadline: number | undefined
  let timer: NodeJS.Timeout | undefined
  let sweeper: NodeJS.Timeout | undefined
  let overrun: Error | undefined

  fastify.decorate('shutdown', {
    remainingMs: () => deadline === undefined ? config.SHUTDOWN_GRACE_MS : Math.max(0, deadline - performance.now()),
    watch: (kind, open) => { watched.set(kind, open) }
  })

  fastify.shutdown.watch('requests', () => [...requests].map(({ request: { method, routeOptions } }) => `${method} ${routeOptions.url ?? '(no route)'}`))
  fastify.addHook('onRequest', (request, reply, done) => {
    // A WebSocket has another end.
    if ((request.raw as { upgrade?: boolean }).upgrade === true) return done()
    requests.add(reply)
    // Also of one that is cut off, which has no onResponse.
    reply.raw.once('close', () => requests.delete(reply))
    done()
  })

  fastify.addHook('onReady', async () => {
    if (!fastify.hasDecorator('addHealthCheck')) return
    fastify.addHealthCheck('shutdown', async () => isDraining ? { ok: false, detail: 'the service is stopping' } : { ok: true })
  })

  fastify.addHook('preClose', async () => {
    isDraining = true
    // As Fastify does from now on with those that come; else their connections would stay open.
    for (const reply of requests) if (!reply.sent) reply.header('connection', 'close')
    // A worker has no balancer in front of it.
    const delayMs = config.ROLE === 'worker' ? 0 : config.SHUTDOWN_DELAY_MS
    hasServed = fastify.server.listening
    if (hasServed) {
      log.info({ delayMs }, 'stopping: not ready any more')
      await sleep(delayMs)
    }
    deadline = performance.now() + config.SHUTDOWN_GRACE_MS
    timer = setTimeout(cutOff, config.SHUTDOWN_GRACE_MS)
    sweeper = setInterval(closeIdle, SWEEP_MS)
  })

  /** What was answered without `Connection: close`, an answer that had begun before, would be kept alive. */
  function closeIdle (): void {
    if (!fastify.server.listening) fastify.server.closeIdleConnections()
  }

  function cutOff (): void {
    const open = Object.fromEntries([...watched].map(([kind, names]) => [kind, [...names()].slice(0, MAX_NAMES)]).filter(([, names]) => names?.length !== 0))
    if (Object.keys(open).length === 0) return
    overrun = new Error(`The shutdown took longer than ${config.SHUTDOWN_GRACE_MS} ms`)
    log.error({ open }, 'the shutdown takes too long: what is open is cut off')
    fastify.server.closeAllConnections()
  }

  fastify.addHook('onClose', async () => {
    clearTimeout(timer)
    clearInterval(sweeper)
    if (overrun) throw overrun
    if (hasServed) log.info('stopped')
  })
}

export default fp(shutdown, { name: 'shutdown', dependencies: ['config'] })
