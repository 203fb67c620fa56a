import { randomUUID } from 'node:crypto'
import t from 'tap'
import { Type } from 'typebox'
import { sendMail } from '../../services/mails.ts'
import { buildApp } from '../helpers/app.ts'
import { storedJobs } from '../helpers/jobs.ts'
import { startMailServer } from '../helpers/smtp.ts'
import { until } from '../helpers/until.ts'

t.test('a mail of a job that the mail server refuses is tried again until it is taken, and comes once', async (t) => {
  let refusals = 2
  const server = await startMailServer(t, { onMailFrom: (_address, _session, done) => done(refusals-- > 0 ? Object.assign(new Error('try again later'), { responseCode: 451 }) : undefined) })
  const app = await buildApp(t, { ROLE: 'all', SMTP_URL: server.url }, app => {
    const { prisma, mailer } = app
    app.jobs.define({
      name: 'test-mail',
      payload: Type.Object({ recipient: Type.String(), text: Type.String() }),
      handler: async ({ id, payload, signal }) => { await sendMail({ prisma, mailer, id, signal }, { subject: 'Hello', ...payload }) }
    })
  })
  const [recipient, text] = ['ada@example.com', randomUUID()]
  await app.jobs.send('test-mail', { recipient, text })
  const [job] = await until(async () => {
    const jobs = await storedJobs(app, 'test-mail')
    return jobs[0]?.state === 'completed' ? jobs : undefined
  })
  t.equal(job?.attempts, 3)
  t.equal(server.mails.length, 1)
  t.match(server.mails[0], new RegExp(`To: ${recipient}`))
  t.match(server.mails[0], new RegExp(text))
  t.match(await app.prisma.mail.findUnique({ where: { id: job?.id ?? '' } }), { sentAt: Date })
})
