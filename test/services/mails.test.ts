import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import service from '../../app.ts'
import { serverOptions } from '../../server.ts'
import { sendMail } from '../../services/mails.ts'
import { buildApp, testConfig } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'
import { startMailServer, startSilentServer, startTarpit } from '../helpers/smtp.ts'

const mail = { recipient: 'ada@example.com', subject: 'Hello', text: 'Hello Ada' }
const never = new AbortController().signal
/** What a job with an id, a new one without, mails with. */
const jobOf = ({ prisma, mailer }: FastifyInstance, id: string = randomUUID(), signal = never) => ({ prisma, mailer, id, signal })

t.test('a mail reaches the server once, with a Message-ID of its own id', async (t) => {
  const server = await startMailServer(t)
  const app = await buildApp(t, { SMTP_URL: server.url, MAIL_FROM: 'shop@example.org' })
  const id = randomUUID()
  t.equal(await sendMail(jobOf(app, id), mail), 'sent')
  t.equal(await sendMail(jobOf(app, id), mail), 'sent before')
  t.equal(server.mails.length, 1)
  t.match(server.mails[0], new RegExp(`Message-ID: <${id}@example.org>`, 'i'))
  t.match(server.mails[0], /From: shop@example\.org[^]*To: ada@example\.com[^]*Subject: Hello[^]*Hello Ada/)
  t.match(await app.prisma.mail.findUnique({ where: { id } }), { ...mail, sentAt: Date })
})

t.test('one that the server refuses is not sent, and may be tried again', async (t) => {
  let refuses = true
  const server = await startMailServer(t, { onRcptTo: (_address, _session, done) => done(refuses ? Object.assign(new Error('no such mailbox'), { responseCode: 450 }) : undefined) })
  const app = await buildApp(t, { SMTP_URL: server.url })
  const id = randomUUID()
  await t.rejects(sendMail(jobOf(app, id), mail), /450 no such mailbox/)
  t.match(await app.prisma.mail.findUnique({ where: { id } }), { sentAt: null })
  refuses = false
  t.equal(await sendMail(jobOf(app, id), mail), 'sent')
  t.equal(server.mails.length, 1)
})

t.test('nobody waits for a server that does not answer, or is not there, once the signal fires', async (t) => {
  for (const SMTP_URL of [await startSilentServer(t), 'smtp://127.0.0.1:1']) {
    const app = await buildApp(t, { SMTP_URL })
    await t.rejects(sendMail(jobOf(app, randomUUID(), AbortSignal.timeout(200)), mail))
  }
})

t.test('a slow server that was given up on before the message was its own never delivers it', async (t) => {
  for (const step of ['EHLO', 'MAIL', 'RCPT', 'DATA']) {
    const tarpit = await startTarpit(t)
    const app = await buildApp(t, { SMTP_URL: tarpit.url })
    const control = new AbortController()
    const sending = sendMail(jobOf(app, randomUUID(), control.signal), mail)
    await until(() => tarpit.asked().startsWith(step) || void tarpit.answer())
    control.abort(new Error('given up'))
    await t.rejects(sending, /given up/)
    await until(() => tarpit.open() === 0)
    tarpit.answer()
    t.same(tarpit.mails, [], step)
  }
})

t.test('one that takes its time for every answer gets the mail once', async (t) => {
  const tarpit = await startTarpit(t)
  const app = await buildApp(t, { SMTP_URL: tarpit.url })
  const sending = sendMail(jobOf(app), mail)
  await until(() => tarpit.mails.length === 1 || void tarpit.answer())
  tarpit.answer()
  t.equal(await sending, 'sent')
  t.equal(tarpit.mails.length, 1)
})

t.test('without a server a mail is kept, unsent, and goes out when it comes again and there is one', async (t) => {
  const app = await buildApp(t)
  const id = randomUUID()
  t.equal(await sendMail(jobOf(app, id), mail), 'kept')
  t.match(await app.prisma.mail.findUnique({ where: { id } }), { ...mail, sentAt: null })
  const server = await startMailServer(t)
  t.equal(await sendMail(jobOf(await buildApp(t, { SMTP_URL: server.url }), id), mail), 'sent')
})

t.test('a job may send several mails, each by its key once', async (t) => {
  const server = await startMailServer(t)
  const app = await buildApp(t, { SMTP_URL: server.url })
  const id = randomUUID()
  const send = async (key: string) => await sendMail(jobOf(app, id), { ...mail, key, recipient: `${key}@example.com` })
  t.same([await send('buyer'), await send('seller'), await send('buyer')], ['sent', 'sent', 'sent before'])
  t.same(server.mails.map(text => /^To: (.*)$/m.exec(text)?.[1]?.trim()), ['buyer@example.com', 'seller@example.com'])
})

t.test('an address is never read as several', async (t) => {
  const server = await startMailServer(t)
  const { mailer } = await buildApp(t, { SMTP_URL: server.url })
  await mailer.send({ ...mail, id: randomUUID(), recipient: 'a@example.com,b@example.com' }, never).catch(() => {})
  t.notMatch(server.mails.join(), /^To:.*b@example\.com>?\s*$/m)
})

t.test('in production a process that works and has no mail server warns at its start', async (t) => {
  const warned = async (ROLE: 'all' | 'web') => {
    const lines: string[] = []
    const config = await testConfig({ NODE_ENV: 'production', LOG_LEVEL: 'warn', ROLE })
    const options = serverOptions(config)
    const app = Fastify({ ...options, logger: { ...options.logger as object, stream: { write: (line: string) => { lines.push(line) } } } })
    await app.register(service, { config })
    await app.ready()
    await app.close()
    return lines.some(line => line.includes('SMTP_URL is not set'))
  }
  t.same([await warned('all'), await warned('web')], [true, false])
})
