import t from 'tap'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { storedJobs } from '../helpers/jobs.ts'
import { startMailServer } from '../helpers/smtp.ts'
import { until } from '../helpers/until.ts'

t.test('a confirmation that the mail server refuses is tried again until it is taken, and comes once', async (t) => {
  let refusals = 2
  const server = await startMailServer(t, { onMailFrom: (_address, _session, done) => done(refusals-- > 0 ? Object.assign(new Error('try again later'), { responseCode: 451 }) : undefined) })
  const app = await buildApp(t, { ROLE: 'all', SMTP_URL: server.url })
  const user = await registered(app)
  const { id: productId } = await newProduct(app)
  const { id } = (await app.inject({ method: 'POST', url: '/orders', headers: bearer(user.token), payload: { items: [{ productId, quantity: 1 }] } })).json()
  const [job] = await until(async () => {
    const jobs = await storedJobs(app, 'confirm-order')
    return jobs[0]?.state === 'completed' ? jobs : undefined
  })
  t.equal(job?.attempts, 3)
  t.equal(server.mails.length, 1)
  t.match(server.mails[0], new RegExp(`To: ${user.email}`))
  t.match(server.mails[0], new RegExp(id))
  t.match(await app.prisma.mail.findUnique({ where: { id: job?.id ?? '' } }), { sentAt: Date })
})
