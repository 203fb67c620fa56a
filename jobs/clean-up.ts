import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { cleanUp } from '../services/clean-up.ts'

/** Every night deletes what has expired: tokens, tickets, idempotency records, login throttles, old mails and events. */
const module: FastifyPluginAsync = async fastify => {
  const { prisma, config } = fastify

  fastify.jobs.define({
    name: 'clean-up',
    payload: Type.Object({}, { additionalProperties: false }),
    schedule: { cron: '0 3 * * *', timeZone: 'UTC' },
    policy: 'exclusive',
    concurrency: 1,
    timeoutSeconds: 3600,
    handler: async ({ signal, log }) => {
      log.info({ deleted: await cleanUp(prisma, { retention: config.EVENTS_RETENTION, signal }) }, 'what had expired was deleted')
    }
  })
}

export default module
