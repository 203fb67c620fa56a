import { createHash, randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { bearer, buildApp, asAdmin, registered } from '../helpers/app.ts'
import { BOUNDARY, FORM_TYPE, PDF, PNG, filesIn, formOf, partHead, textForm, upload, uploadedBy, type Part } from '../helpers/uploads.ts'

const KiB = 1024
const folder = t.testdir()
const app = await buildApp(t, { UPLOADS_DIR: folder, UPLOAD_MAX_BYTES: 200 * KiB, UPLOAD_FILES_MAX: 3 })
const user = await registered(app)
const other = await registered(app)
const admin = await asAdmin(app)
const get = async (url: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' | 'DELETE' = 'GET', token = user.token) => await app.inject({ method, url, headers: { ...bearer(token), ...headers } })
const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')

/** What there is: rows, whether they can be seen or not, and files. */
async function everything () {
  return { rows: await app.prisma.upload.count(), files: filesIn(folder) }
}

/** Checks that a form is refused and nothing of it is left. */
async function refused (t: Test, parts: Part[], status: number, code: string, end?: string): Promise<string> {
  const before = await everything()
  const response = await upload(app, user.token, parts, end)
  t.match({ status: response.statusCode, code: response.json().code }, { status, code })
  t.same(await everything(), before, 'nothing is left')
  return response.json().detail
}

t.test('a file is stored, and comes back as it was', async t => {
  const response = await upload(app, user.token, [{ content: PNG, name: 'dot.png', type: 'image/png' }])
  t.equal(response.statusCode, 201)
  const { items: [item] } = response.json()
  t.match(item, { name: 'dot.png', type: 'image/png', size: PNG.length, sha256: sha256(PNG) })
  t.match(item.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  t.equal(response.headers.location, `/uploads/${item.id}`)
  t.same((await get(`/uploads/${item.id}`)).json(), item)
  const content = await get(`/uploads/${item.id}/content`)
  t.same(content.rawPayload, PNG)
  t.match(content.headers, {
    'content-type': 'image/png',
    'content-length': String(PNG.length),
    'content-disposition': 'attachment; filename=dot.png',
    'x-content-type-options': 'nosniff',
    'content-security-policy': /default-src 'none'.*sandbox/,
    'cache-control': 'private, no-cache',
    'accept-ranges': 'bytes',
    etag: `"${sha256(PNG)}"`
  })
  t.match(filesIn(folder).join(), new RegExp(`/${item.id.slice(-2)}/${item.id}$`, 'm'), 'under its id')
})

t.test('a form as browsers make it', async t => {
  const response = await app.inject({ method: 'POST', url: '/uploads', headers: bearer(user.token), payload: textForm() })
  t.match(response.json(), { items: [{ name: 'hello.txt', type: 'text/plain', size: 6 }] })
  t.equal((await get(`${response.headers.location}/content`)).headers['content-type'], 'text/plain; charset=utf-8')
})

t.test('several files of a form, among fields', async t => {
  const response = await upload(app, user.token, [{ content: 'x', field: 'note' }, { content: 'one', name: '1.txt' }, { content: PDF, name: '2.pdf', field: 'other', type: 'application/pdf' }, { content: 'a,b', name: '3.csv', type: 'text/csv' }])
  t.equal(response.statusCode, 201)
  t.match(response.json().items, [{ name: '1.txt', type: 'text/plain' }, { name: '2.pdf', type: 'application/pdf' }, { name: '3.csv', type: 'text/csv' }])
  t.equal(response.headers.location, `/uploads/${response.json().items[0].id}`)
})

t.test('of a form that has something wrong nothing is stored', async t => {
  const fine = { content: 'fine', name: 'fine.txt' }
  for (const [parts, status, code] of [
    [[], 400, 'NO_FILE'],
    [[{ content: 'x', field: 'note' }], 400, 'NO_FILE'],
    [[fine, { content: '', name: 'empty.txt' }], 400, 'EMPTY_FILE'],
    [[fine, { content: '', name: '' }], 400, 'EMPTY_FILE'],
    [[fine, { content: PNG, name: 'a.jpg', type: 'image/jpeg' }], 415, 'FILE_TYPE_MISMATCH'],
    [[fine, { content: '<script>', name: 'a.html', type: 'text/html' }], 415, 'UNSUPPORTED_FILE_TYPE'],
    [[fine, { content: Buffer.from('PK\x03\x04'), name: 'a.zip', type: 'application/zip' }], 415, 'UNSUPPORTED_FILE_TYPE'],
    [[fine, { content: 'x'.repeat(200 * KiB + 1), name: 'a.txt' }], 413, 'FILE_TOO_LARGE'],
    [[fine, fine, fine, fine], 413, 'PAYLOAD_TOO_LARGE'],
    [[fine, ...Array.from({ length: 51 }, (_, n) => ({ content: '', field: `f${n}` }))], 413, 'PAYLOAD_TOO_LARGE'],
    [[fine, { content: '', field: '__proto__' }], 400, 'MALFORMED_BODY'],
    [[fine, { content: 'x', name: 'a.txt', field: 'constructor' }], 400, 'MALFORMED_BODY']
  ] as [Part[], number, string][]) await t.test(`${code} (${parts.length} parts)`, async t => { await refused(t, parts, status, code) })
})

t.test('the limits are what they say', async t => {
  const response = await upload(app, user.token, Array.from({ length: 3 }, () => ({ content: 'x'.repeat(200 * KiB), name: 'a.txt' })))
  t.equal(response.statusCode, 201)
  t.equal(response.json().items[0].size, 200 * KiB)
  t.match(await refused(t, [{ content: 'x'.repeat(200 * KiB + 1), name: 'a.txt' }], 413, 'FILE_TOO_LARGE'), /204800 bytes/)
})

t.test('a form that says that it is too long is refused before it is read', async t => {
  const response = await app.inject({ method: 'POST', url: '/uploads', headers: { ...bearer(user.token), 'content-type': FORM_TYPE, 'content-length': String(3 * 1024 * 1024) }, payload: formOf([{ content: 'x', name: 'a.txt' }]) })
  t.match(response.json(), { status: 413, code: 'PAYLOAD_TOO_LARGE' })
})

t.test('a text that goes on as something else is refused, however late', async t => {
  for (const tail of [Buffer.from([0]), Buffer.from([0xff]), Buffer.from('€').subarray(0, 2)]) {
    await refused(t, [{ content: Buffer.concat([Buffer.alloc(150 * KiB, 'text '), tail]), name: 'a.txt', type: 'text/plain' }], 415, 'FILE_TYPE_MISMATCH')
  }
})

t.test('a form that cannot be read is malformed', async t => {
  const file: Part = { content: 'x', name: 'a.txt' }
  await refused(t, [file], 400, 'MALFORMED_BODY', '')
  await refused(t, [file], 400, 'MALFORMED_BODY', `--${BOUNDARY}\r\n`)
  await refused(t, [file], 400, 'MALFORMED_BODY', partHead({ name: 'b.txt' }) + 'half of i')
  const before = await everything()
  for (const [type, payload] of [
    ['multipart/form-data', 'x'], ['multipart/form-data; boundary=', 'x'], [FORM_TYPE, 'no form at all'], [`multipart/form-data; boundary=${'x'.repeat(300)}`, formOf([file])], ['multipart/form-data; boundary=other', formOf([file])]
  ] as const) {
    const response = await app.inject({ method: 'POST', url: '/uploads', headers: { ...bearer(user.token), 'content-type': type }, payload })
    t.match(response.json(), { status: 400 }, `${type.slice(0, 50)}: ${response.json().detail}`)
  }
  t.same(await everything(), before)
})

t.test('what is no form is refused by its type', async t => {
  for (const type of ['application/json', 'text/plain', 'multipart/mixed; boundary=x', 'application/x-www-form-urlencoded', 'multipart/form-data garbage']) {
    const response = await app.inject({ method: 'POST', url: '/uploads', headers: { ...bearer(user.token), 'content-type': type }, payload: '{}' })
    t.equal(response.statusCode, 415, type)
  }
  t.match((await app.inject({ method: 'POST', url: '/uploads', headers: bearer(user.token) })).json(), { status: 400, code: 'NO_FILE' })
  const packed = await app.inject({ method: 'POST', url: '/uploads', headers: { ...bearer(user.token), 'content-type': FORM_TYPE, 'content-encoding': 'gzip' }, payload: formOf([{ content: 'x', name: 'a' }]) })
  t.equal(packed.statusCode, 415)
})

t.test('names do no harm', async t => {
  for (const [header, name, disposition] of [
    ['name="file"; filename="../../../etc/passwd"', 'passwd', 'attachment; filename=passwd'],
    ['name="file"; filename="..\\\\..\\\\boot.ini"', 'boot.ini', 'attachment; filename=boot.ini'],
    ['name="file"; filename="a\\"; x=\\".txt"', 'a_; x=_.txt', 'attachment; filename="a_; x=_.txt"'],
    ['name="file"; filename="a\tb\u202e.txt"', 'ab.txt', 'attachment; filename=ab.txt'],
    ['name="file"; filename="日本語.txt"', '日本語.txt', "attachment; filename*=UTF-8''%E6%97%A5%E6%9C%AC%E8%AA%9E.txt"],
    ["name=\"file\"; filename*=UTF-8''na%C3%AFve.txt", 'naïve.txt', "attachment; filename*=UTF-8''na%C3%AFve.txt"],
    [`name="file"; filename="${'é'.repeat(200)}.txt"`, `${'é'.repeat(125)}.txt`, /^attachment; /],
    ['name="file"; filename="."', 'file', 'attachment; filename=file']
  ] as const) {
    const response = await upload(app, user.token, [{ content: 'x', header: `content-disposition: form-data; ${header}` }])
    t.equal(response.statusCode, 201, header)
    t.equal(response.json().items[0].name, name)
    const { headers } = await get(`${response.headers.location}/content`)
    t.match(String(headers['content-disposition']).replace(/ filename="[^"]*\?[^"]*";/, ''), disposition)
    t.match(headers['content-disposition'], /^[\x20-\x7e]+$/)
  }
})

t.test('a list of one\'s own files, newest first, in pages', async t => {
  const { token } = await registered(app)
  const ids = []
  for (let n = 0; n < 5; n++) ids.unshift(await uploadedBy(app, token))
  const seen: string[] = []
  for (let url = '/uploads?limit=2', pages = 1; ; pages++) {
    const page = (await get(url, {}, 'GET', token)).json()
    seen.push(...page.items.map(({ id }: { id: string }) => id))
    if (page.nextCursor === null) { t.equal(pages, 3); break }
    url = `/uploads?limit=2&cursor=${page.nextCursor}`
  }
  t.same(seen, ids)
  t.equal((await get('/uploads?cursor=nonsense', {}, 'GET', token)).json().code, 'INVALID_CURSOR')
})

t.test('another\'s files are not there, also for admins', async t => {
  const id = await uploadedBy(app, user.token)
  for (const { token } of [other, admin]) {
    t.same((await get('/uploads', {}, 'GET', token)).json().items, [])
    for (const url of [`/uploads/${id}`, `/uploads/${id}/content`]) t.equal((await get(url, {}, 'GET', token)).statusCode, 404)
    t.equal((await get(`/uploads/${id}`, {}, 'DELETE', token)).statusCode, 404)
  }
  t.equal((await get(`/uploads/${id}`)).statusCode, 200)
  for (const url of [`/uploads/${randomUUID()}`, `/uploads/${randomUUID()}/content`]) t.equal((await get(url)).statusCode, 404)
  t.equal((await get('/uploads/..%2f..%2fetc%2fpasswd')).statusCode, 400)
})

t.test('a file that is deleted is gone, with its bytes', async t => {
  const id = await uploadedBy(app, user.token)
  t.equal(filesIn(folder).filter(path => path.endsWith(id)).length, 1)
  t.equal((await get(`/uploads/${id}`, {}, 'DELETE')).statusCode, 204)
  t.equal(filesIn(folder).filter(path => path.endsWith(id)).length, 0)
  t.equal(await app.prisma.upload.count({ where: { id } }), 0)
  for (const method of ['GET', 'DELETE'] as const) t.equal((await get(`/uploads/${id}`, {}, method)).statusCode, 404)
})

t.test('ranges', async t => {
  const text = '0123456789'
  const { headers: { location } } = await upload(app, user.token, [{ content: text, name: 'digits.txt' }])
  const { headers: { etag } } = await get(`${location}/content`)
  for (const [range, status, body, contentRange] of [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-100', 206, text, 'bytes 0-9/10'],
    ['bytes=9-100', 206, '9', 'bytes 9-9/10'],
    ['bytes=0-0', 206, '0', 'bytes 0-0/10'],
    ['BYTES=1-1', 206, '1', 'bytes 1-1/10'],
    ['bytes=10-', 416, undefined, 'bytes */10'],
    ['bytes=-0', 416, undefined, 'bytes */10'],
    ['bytes=99999999999999999999-', 416, undefined, 'bytes */10'],
    ['bytes=0-1,3-4', 200, text, undefined],
    ['bytes=0-1,99-', 200, text, undefined],
    ['bytes=4-2', 200, text, undefined],
    ['bytes=a-b', 200, text, undefined],
    ['bytes=', 200, text, undefined],
    ['lines=1-2', 200, text, undefined],
    ['nonsense', 200, text, undefined]
  ] as const) {
    const response = await get(`${location}/content`, { range })
    t.equal(response.statusCode, status, range)
    if (body !== undefined) t.equal(response.body, body)
    else t.equal(response.json().code, 'RANGE_NOT_SATISFIABLE')
    t.equal(response.headers['content-range'], contentRange)
    if (body !== undefined) t.equal(response.headers['content-length'], String(body.length))
  }
  for (const [condition, status] of [[String(etag), 206], ['"another"', 200], [`W/${etag}`, 200], ['Fri, 27 Nov 2026 10:00:00 GMT', 200]] as const) {
    t.equal((await get(`${location}/content`, { range: 'bytes=0-1', 'if-range': condition })).statusCode, status, condition)
  }
})

t.test('what the client has is not sent again', async t => {
  const id = await uploadedBy(app, user.token)
  const { headers: { etag } } = await get(`/uploads/${id}/content`)
  for (const tags of [String(etag), `"x", W/${etag}`, '*']) {
    const response = await get(`/uploads/${id}/content`, { 'if-none-match': tags })
    t.equal(response.statusCode, 304)
    t.equal(response.body, '')
    t.equal(response.headers.etag, etag)
  }
  t.equal((await get(`/uploads/${id}/content`, { 'if-none-match': '"x"' })).statusCode, 200)
})

t.test('HEAD has the headers of GET, and no body', async t => {
  const id = await uploadedBy(app, user.token)
  const head = await get(`/uploads/${id}/content`, {}, 'HEAD')
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.match(head.headers, { 'content-length': '6', 'content-type': 'text/plain; charset=utf-8', 'accept-ranges': 'bytes' })
})

t.test('bytes that are lost are our fault, and said to be', async t => {
  const id = await uploadedBy(app, user.token)
  await app.uploads.remove(id)
  t.match((await get(`/uploads/${id}/content`)).json(), { status: 503, code: 'UNAVAILABLE' })
})

t.test('requests are counted by how they end', async t => {
  const value = async (line: string) => Number(new RegExp(`^${line} (\\S+)`, 'm').exec((await app.metrics.scrape()).text)?.[1])
  const count = async () => await Promise.all(['uploads_total{outcome="stored"}', 'uploads_total{outcome="refused"}', 'upload_bytes_total', 'uploads_under_way'].map(async name => await value(RegExp.escape(name))))
  const [stored = 0, refusals = 0, bytes = 0] = await count()
  await uploadedBy(app, user.token)
  await upload(app, user.token, [])
  t.same(await count(), [stored + 1, refusals + 1, bytes + 6, 0])
})
