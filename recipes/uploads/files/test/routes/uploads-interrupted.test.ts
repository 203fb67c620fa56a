// Uploads and downloads of several parts that end otherwise than they should, over real connections, to a folder and to a bucket: nothing is left of any.
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bearer } from '../helpers/app.ts'
import { FORM_END, openForm, partHead } from '../helpers/uploads.ts'
import { MiB, beginning, head, nothingOf, service } from '../helpers/uploads-service.ts'
import { until } from '../helpers/until.ts'

for (const kind of ['disk', 's3']) {
  t.test(`a file of several parts, to ${kind}, comes back as it was`, async t => {
    const { app, origin, token, stored } = await service(t, kind)
    const form = openForm(origin, token)
    await form.send(beginning)
    form.end(FORM_END)
    const { status, headers } = await form.answer
    t.equal(status, 201)
    t.equal(stored().length, 1)
    const all = await fetch(`${origin}${headers.location}/content`, { headers: bearer(token) })
    t.ok(beginning.subarray(head.length).equals(Buffer.from(await all.arrayBuffer())))
    const range = await fetch(`${origin}${headers.location}/content`, { headers: { ...bearer(token), range: 'bytes=7000000-7000009' } })
    t.equal(range.status, 206)
    t.same(Buffer.from(await range.arrayBuffer()), beginning.subarray(head.length + 7_000_000, head.length + 7_000_010))
    t.equal((await app.inject({ method: 'DELETE', url: String(headers.location), headers: bearer(token) })).statusCode, 204)
    t.same(stored(), [])
  })

  t.test(`a client that hangs up leaves nothing in ${kind}`, async t => {
    const run = await service(t, kind)
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    await until(async () => await run.rows() === 1 && run.stored().length > 0)
    t.same((await run.app.inject({ url: '/uploads', headers: bearer(run.token) })).json().items, [], 'it is not to be seen meanwhile')
    form.hangUp()
    await until(() => nothingOf(run))
    await until(() => run.app.uploads.admission.count() === 0)
    t.pass()
  })

  t.test(`a file that turns out too large leaves nothing in ${kind}, and its client is told`, async t => {
    const run = await service(t, kind, { UPLOAD_MAX_BYTES: 10 * MiB })
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    form.end(FORM_END)
    t.match(await form.answer, { status: 413, body: { code: 'FILE_TOO_LARGE' } })
    await until(() => nothingOf(run))
  })

  t.test(`an earlier file of the form goes with a later one that is refused (${kind})`, async t => {
    const run = await service(t, kind)
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    await form.send(`\r\n${partHead({ name: 'b.png', type: 'image/png' })}no image`)
    form.end(FORM_END)
    t.match(await form.answer, { status: 415, body: { code: 'FILE_TYPE_MISMATCH' } })
    await until(() => nothingOf(run))
  })

  t.test(`a file whose row is gone when it is complete is not kept in ${kind}`, async t => {
    const run = await service(t, kind)
    const form = openForm(run.origin, run.token)
    await form.send(beginning)
    await until(async () => await run.rows() === 1)
    await run.app.prisma.upload.deleteMany()
    form.end(FORM_END)
    t.match(await form.answer, { status: 500, body: { code: 'INTERNAL_ERROR' } })
    await until(() => nothingOf(run))
  })

  t.test(`a download whose client hangs up lets go of ${kind}`, async t => {
    const { app, origin, token } = await service(t, kind)
    const form = openForm(origin, token)
    await form.send(beginning)
    form.end(FORM_END)
    const { headers: { location } } = await form.answer
    for (let n = 0; n < 5; n++) {
      const control = new AbortController()
      const response = await fetch(`${origin}${location}/content`, { headers: bearer(token), signal: control.signal })
      await response.body!.getReader().read()
      control.abort()
    }
    // What is open holds the close of the service.
    await until(() => new Promise<boolean>(resolve => app.server.getConnections((_error, count) => resolve(count <= 2))))
    t.equal((await (await fetch(`${origin}${location}/content`, { headers: bearer(token) })).arrayBuffer()).byteLength, beginning.length - head.length)
  })

  t.test(`downloads that are pipelined, or not waited for, let go of ${kind}`, async t => {
    const { app, origin, token, stored } = await service(t, kind)
    const form = openForm(origin, token)
    await form.send(beginning)
    form.end(FORM_END)
    const { headers: { location } } = await form.answer
    const ask = `GET ${location}/content HTTP/1.1\r\nhost: x\r\nauthorization: ${bearer(token).authorization}\r\n\r\n`
    for (let n = 0; n < 20; n++) {
      const socket = connect(Number(new URL(origin).port), '127.0.0.1').on('error', () => {})
      await once(socket, 'connect')
      socket.write(n % 2 === 0 ? ask.repeat(3) : ask)
      if (n % 2 === 0) await once(socket, 'data')
      else await sleep(n / 2)
      socket.resetAndDestroy()
    }
    await until(() => new Promise<boolean>(resolve => app.server.getConnections((_error, count) => resolve(count <= 2))))
    const isOpen = (file: string) => readdirSync('/proc/self/fd').some(fd => linkOf(fd) === file)
    if (kind === 'disk') await until(() => stored().length === 1 && !stored().some(isOpen))
    t.equal((await app.inject({ url: String(location), headers: bearer(token) })).statusCode, 200)
  })
}

function linkOf (fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return undefined
  }
}
