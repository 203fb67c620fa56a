import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

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
      /**
       * Hands a mail to the server of SMTP_URL; without one it is logged. When the signal fires the connection
       * is cut off: a server that has not been given the whole message does not deliver it.
       * @returns whether it went out
       * @throws when the server does not take it
       */
      send: (mail: OutgoingMail, signal: AbortSignal) => Promise<boolean>
      /** How long sending may take at the most: a job that mails needs more. */
      limitSeconds: number
    }
  }
}

const CONNECT_MS = 30_000
/** For everything up to the server's consent to the message: one that is slow is asked again later. */
const CONSENT_MS = 120_000
/** For the message and the server's answer to it. Long, as giving up here may mean a second copy (RFC 5321, 4.5.3.2.6). */
const ANSWER_MS = 300_000

/** Mail by SMTP. */
async function mailer (fastify: FastifyInstance) {
  const { config, log } = fastify
  if (config.SMTP_URL === undefined && config.NODE_ENV === 'production' && config.ROLE !== 'web') log.warn('SMTP_URL is not set: no mail goes out')

  fastify.decorate('mailer', {
    limitSeconds: (CONSENT_MS + ANSWER_MS) / 1000,
    send: async (mail, signal) => {
      signal.throwIfAborted()
      if (config.SMTP_URL === undefined) {
        log.info({ mail: mail.id, subject: mail.subject }, 'SMTP_URL is not set: a mail is kept in the table mails')
        return false
      }
      await deliver(config.SMTP_URL, config.MAIL_FROM, mail, signal)
      return true
    }
  })
}

/** Sends a mail on a connection of its own. */
async function deliver (url: string, from: string, { id, recipient, subject, text }: OutgoingMail, signal: AbortSignal): Promise<void> {
  // Loaded with the first mail: many processes never send one.
  const { createTransport } = await import('nodemailer')
  const limit = new AbortController()
  const late = (what: string, ms: number) => setTimeout(() => limit.abort(new Error(`The mail server has not ${what} within ${ms / 1000} s`)), ms)
  let timer = late('consented to the message', CONSENT_MS)
  // Whatever happens to it, its end is at once: `end` would hand over what is still on its way.
  const transport = createTransport({ url, connectionTimeout: CONNECT_MS, greetingTimeout: CONNECT_MS, dnsTimeout: CONNECT_MS, socketTimeout: ANSWER_MS, socketCloseTimeout: 0 })
  transport.use('stream', ({ message }, done) => {
    message.processFunc(content => Readable.from(onceAsked(content, () => {
      clearTimeout(timer)
      timer = late('taken the message', ANSWER_MS)
    })))
    done()
  })
  const ending = AbortSignal.any([signal, limit.signal])
  try {
    await transport.sendMail({
      // As objects: an address is never read as a list.
      from: { name: '', address: from },
      to: { name: '', address: recipient },
      subject,
      text,
      messageId: `<${id}@${from.split('@').at(-1)}>`,
      disableFileAccess: true,
      disableUrlAccess: true,
      signal: ending
    })
  } catch (error) {
    throw ending.aborted ? ending.reason : error
  } finally {
    clearTimeout(timer)
    transport.close()
  }
}

/** A stream's content; `asked` is called when the first of it is, which is once the server has consented. */
async function * onceAsked (content: Readable, asked: () => void): AsyncGenerator<unknown> {
  asked()
  yield * content
}

export default fp(mailer, { name: 'mailer', dependencies: ['config'] })
