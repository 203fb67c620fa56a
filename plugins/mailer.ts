import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Transporter } from 'nodemailer'

/** A mail to one address. */
export interface OutgoingMail {
  /** Names the mail for good: when it goes out twice, both have the same Message-ID. */
  id: string
  recipient: string
  subject: string
  text: string
}

declare module 'fastify' {
  interface FastifyInstance {
    mailer: {
      /** Hands a mail to the server of SMTP_URL; without one it is logged. Throws when the server does not take it. */
      send: (mail: OutgoingMail, signal: AbortSignal) => Promise<void>
    }
  }
}

const TIMEOUT_MS = 15_000

/** Mail by SMTP. */
async function mailer (fastify: FastifyInstance) {
  const { config, log } = fastify
  const domain = config.MAIL_FROM.split('@').at(-1)
  let transport: Promise<Transporter> | undefined

  fastify.decorate('mailer', {
    send: async ({ id, recipient, subject, text }, signal) => {
      if (config.SMTP_URL === undefined) return log.info({ mail: id, subject }, 'SMTP_URL is not set: a mail is kept in the table mails')
      transport ??= connect(config.SMTP_URL)
      // As objects: an address is never read as a list.
      const sending = (await transport).sendMail({
        from: { name: '', address: config.MAIL_FROM },
        to: { name: '', address: recipient },
        subject,
        text,
        messageId: `<${id}@${domain}>`,
        disableFileAccess: true,
        disableUrlAccess: true
      })
      await aborted(sending, signal)
    }
  })

  fastify.addHook('onClose', async () => (await transport)?.close())
}

/** Loaded with the first mail: many processes never send one. */
async function connect (url: string): Promise<Transporter> {
  const { createTransport } = await import('nodemailer')
  return createTransport({ url, connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS, dnsTimeout: TIMEOUT_MS })
}

/** Waits no longer than the signal; the server may still take the mail. */
async function aborted<T> (sending: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  sending.catch(() => {})
  try {
    signal.throwIfAborted()
    return await Promise.race([sending, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

export default fp(mailer, { name: 'mailer', dependencies: ['config'] })
