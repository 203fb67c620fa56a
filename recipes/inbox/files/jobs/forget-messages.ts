import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { forgetMessages } from '../services/inbox.ts'

/** Every night forgets the messages that were handled longer than INBOX_RETENTION ago. */
const module: FastifyPluginAsync = async fastify => {
  const { prisma, config } = fastify

  fastify.jobs.define({
    name: 'forget-messages',
    payload: Type.Object({}, { additionalProperties: false }),
    schedule: { cron: '15 3 * * *', timeZone: 'UTC' },
    policy: 'exclusive',
    concurrency: 1,
    timeoutSeconds: 3600,
    handler: async ({ signal, log }) => {
      log.info({ forgotten: await forgetMessages(prisma, new Date(Date.now() - config.INBOX_RETENTION), signal) }, 'messages that were handled long ago were forgotten')
    }
  })
}

export default module
