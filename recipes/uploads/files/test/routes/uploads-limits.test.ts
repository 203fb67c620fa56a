// How long an upload may take, and how many there may be at a time.
import t from 'tap'
import { bearer, buildApp, registered } from '../helpers/app.ts'
import { FORM_END, openForm, partHead, upload } from '../helpers/uploads.ts'
import { beginning, nothingOf, service } from '../helpers/uploads-service.ts'
import { until } from '../helpers/until.ts'

t.test('an upload may take longer than REQUEST_TIMEOUT_MS', async t => {
  // The time-out is also that of statements: another service makes the user.
  const { token } = await registered(await buildApp(t))
  const app = await buildApp(t, { UPLOADS_DIR: t.testdir(), REQUEST_TIMEOUT_MS: 2_000 })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const form = openForm(origin, token)
  await form.send(`${partHead({ name: 'a.txt' })}begun `)
  // Until the service has cut off a request begun later that may not take as long.
  t.equal((await fetch(`${origin}/users/me`, { method: 'PATCH', duplex: 'half', headers: { ...bearer(token), 'content-type': 'application/json' }, body: new ReadableStream({ start: control => control.enqueue(Buffer.from('{')) }) } as RequestInit)).status, 408)
  form.end(`and ended${FORM_END}`)
  t.equal((await form.answer).status, 201)
  t.equal(app.uploads.admission.count(), 0)
})

t.test('but not longer than UPLOAD_TIMEOUT: then its client is told, and nothing is left', async t => {
  const run = await service(t, 'disk', { UPLOAD_TIMEOUT: 1_000 })
  const form = openForm(run.origin, run.token)
  await form.send(beginning)
  t.match(await form.answer, { status: 408, body: { code: 'REQUEST_TIMEOUT' } })
  await until(() => nothingOf(run))
})

t.test('a user has some uploads under way, all users together some more', async t => {
  const { app, origin, token } = await service(t, 'disk', { UPLOADS_PER_USER_MAX: 2, UPLOADS_MAX: 3 })
  const others = [await registered(app), await registered(app)]
  const begin = async (token: string) => {
    const form = openForm(origin, token)
    await form.send(`${partHead({ name: 'a.txt' })}text`)
    return form
  }
  const first = [await begin(token), await begin(token)]
  await until(() => app.uploads.admission.count() === 2)
  const refusedUser = await upload(app, token, [{ content: 'x', name: 'a.txt' }])
  t.match({ status: refusedUser.statusCode, code: refusedUser.json().code }, { status: 429, code: 'RATE_LIMITED' })
  t.ok(refusedUser.headers['retry-after'])
  first.push(await begin(others[0]!.token))
  await until(() => app.uploads.admission.count() === 3)
  const refusedAll = await upload(app, others[1]!.token, [{ content: 'x', name: 'a.txt' }])
  t.match({ status: refusedAll.statusCode, code: refusedAll.json().code }, { status: 503, code: 'OVERLOADED' })
  for (const form of first) form.end(FORM_END)
  for (const form of first) t.equal((await form.answer).status, 201)
  t.equal((await upload(app, token, [{ content: 'x', name: 'a.txt' }])).statusCode, 201)
})
