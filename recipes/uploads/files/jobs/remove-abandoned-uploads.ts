import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { removeAbandoned } from '../services/uploads.ts'

/** Beside the longest that an upload takes: for its last statements. */
const MARGIN_MS = 600_000

/** Every hour removes what killed processes left of uploads, and bytes of deleted files that could not be removed at once. */
const module: FastifyPluginAsync = async fastify => {
  if (!fastify.hasDecorator('uploads')) return
  const { prisma, config, uploads } = fastify

  fastify.jobs.define({
    name: 'remove-abandoned-uploads',
    payload: Type.Object({}, { additionalProperties: false }),
    schedule: { cron: '23 * * * *', timeZone: 'UTC' },
    policy: 'exclusive',
    concurrency: 1,
    timeoutSeconds: 3600,
    handler: async ({ signal, log }) => {
      const removed = await removeAbandoned({ prisma, store: uploads, log }, { olderThan: config.UPLOAD_TIMEOUT + MARGIN_MS, signal })
      log.info({ removed }, 'what was left of uploads was removed')
    }
  })
}

export default module
