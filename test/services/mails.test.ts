import { randomUUID } from 'node:crypto'
import t from 'tap'
import { sendMail } from '../../services/mails.ts'
import { buildApp } from '../helpers/app.ts'
import { startMailServer, startSilentServer } from '../helpers/smtp.ts'

const mail = { recipient: 'ada@example.com', subject: 'Hello', text: 'Hello Ada' }
const never = new AbortController().signal

t.test('a mail reaches the server once, with a Message-ID of its own id', async (t) => {
  const server = await startMailServer(t)
  const { prisma, mailer } = await buildApp(t, { SMTP_URL: server.url, MAIL_FROM: 'shop@example.org' })
  const id = randomUUID()
  t.equal(await sendMail(prisma, mailer, id, mail, never), true)
  t.equal(await sendMail(prisma, mailer, id, mail, never), false)
  t.equal(server.mails.length, 1)
  t.match(server.mails[0], new RegExp(`Message-ID: <${id}@example.org>`, 'i'))
  t.match(server.mails[0], /From: shop@example\.org[^]*To: ada@example\.com[^]*Subject: Hello[^]*Hello Ada/)
  t.match(await prisma.mail.findUnique({ where: { id } }), { ...mail, sentAt: Date })
})

t.test('one that the server refuses is not sent, and may be tried again', async (t) => {
  let refuses = true
  const server = await startMailServer(t, { onRcptTo: (_address, _session, done) => done(refuses ? Object.assign(new Error('no such mailbox'), { responseCode: 450 }) : undefined) })
  const { prisma, mailer } = await buildApp(t, { SMTP_URL: server.url })
  const id = randomUUID()
  await t.rejects(sendMail(prisma, mailer, id, mail, never), /450 no such mailbox/)
  t.match(await prisma.mail.findUnique({ where: { id } }), { sentAt: null })
  refuses = false
  t.equal(await sendMail(prisma, mailer, id, mail, never), true)
  t.equal(server.mails.length, 1)
})

t.test('nobody waits for a server that does not answer, or is not there, once the signal fires', async (t) => {
  for (const SMTP_URL of [await startSilentServer(t), 'smtp://127.0.0.1:1']) {
    const { prisma, mailer } = await buildApp(t, { SMTP_URL })
    await t.rejects(sendMail(prisma, mailer, randomUUID(), mail, AbortSignal.timeout(200)))
  }
})

t.test('an address is never read as several', async (t) => {
  const server = await startMailServer(t)
  const { mailer } = await buildApp(t, { SMTP_URL: server.url })
  await mailer.send({ ...mail, id: randomUUID(), recipient: 'a@example.com,b@example.com' }, never).catch(() => {})
  t.notMatch(server.mails.join(), /^To:.*b@example\.com>?\s*$/m)
})
