import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { LoopDelay } from './loop-delay.ts'
import { PoolWait } from './pool-wait.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether requests to the route are also answered when there are too many; not without it. */
    essential?: boolean
  }
  interface FastifyReply {
    /** The request was refused because there are too many: its line in the log is of no interest. */
    isShed: boolean
  }
}

const REPORT_MS = 1_000
/** Clients are told to come back after 1 to 3 seconds, not all at once. */
const RETRY_SECONDS = 3
/** For each connection of the pool so many may wait before its rate is known. */
const PATIENCE = 10

/**
 * Refuses requests that would only make all wait longer: while the event loop is late by more than
 * OVERLOAD_LOOP_DELAY_MS, or whoever needs the database would wait for a connection for longer than
 * OVERLOAD_POOL_WAIT_MS. They get 503 OVERLOADED at once, before anything is done for them. Essential
 * routes (health, metrics) always answer.
 */
async function overload (fastify: FastifyInstance) {
  const { config: { OVERLOAD_LOOP_DELAY_MS, OVERLOAD_POOL_WAIT_MS, DATABASE_POOL_MAX }, log, databasePool } = fastify
  const patience = DATABASE_POOL_MAX * PATIENCE
  const poolWait = OVERLOAD_POOL_WAIT_MS > 0 ? new PoolWait(databasePool) : undefined
  // (@fastify/under-pressure takes an interval without a sample, a task of 100 ms, for an endless delay.)
  const loopDelay = OVERLOAD_LOOP_DELAY_MS > 0 ? new LoopDelay() : undefined
  const shed = { eventLoop: 0, pool: 0 }

  fastify.decorateReply('isShed', false)
  fastify.addHook('onRequest', (request, reply, done) => {
    const reason = pressure()
    if (reason === undefined || request.routeOptions.config.essential === true) return done()
    shed[reason]++
    reply.isShed = true
    // Behind what was accepted in this turn of the event loop. (From within the reading of the request memory grew by half: bench/overload.ts.)
    setImmediate(() => { reply.header('retry-after', 1 + Math.floor(Math.random() * RETRY_SECONDS)).problem('OVERLOADED') })
  })

  function pressure (): 'eventLoop' | 'pool' | undefined {
    if (poolWait !== undefined && poolWait.expectedMs(patience) > OVERLOAD_POOL_WAIT_MS) return 'pool'
    return loopDelay !== undefined && loopDelay.ms > OVERLOAD_LOOP_DELAY_MS ? 'eventLoop' : undefined
  }

  // One line for many: each of its own would be most of what a refusal costs.
  const report = setInterval(() => {
    const requests = shed.eventLoop + shed.pool
    if (requests === 0) return
    log.warn({ requests, ...shed, poolWaiting: databasePool.waitingCount }, 'overloaded: requests were refused')
    Object.assign(shed, { eventLoop: 0, pool: 0 })
  }, REPORT_MS).unref()
  fastify.addHook('onClose', async () => {
    clearInterval(report)
    poolWait?.close()
    loopDelay?.close()
  })
}

export default fp(overload, { name: 'overload', dependencies: ['config', 'errors', 'database'] })
