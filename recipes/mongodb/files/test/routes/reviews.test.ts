// Reviews in a MongoDB: wherever MONGODB_URL is set, in a database of the file's own.
import { randomUUID } from 'node:crypto'
import type { InjectOptions } from 'fastify'
import { MongoServerError } from 'mongodb'
import t from 'tap'
import { ratings, reviews } from '../../services/reviews.ts'
import { asAdmin, bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { features, withMongodb } from '../helpers/mongodb.ts'
import { reviewOf } from '../helpers/reviews.ts'

const app = await buildApp(t)
const { transactions, validation } = await features()
const withTransactions = { skip: withMongodb.skip || (!transactions && 'MONGODB_URL is not a replica set') }
const withValidation = { skip: withMongodb.skip || (!validation && 'the server of MONGODB_URL does not validate documents') }
const [user, other, admin] = [await registered(app), await registered(app), await asAdmin(app)]
const json = { 'content-type': 'application/json' }

const call = async (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, { token, ...rest }: InjectOptions & { token?: string } = {}) =>
  await app.inject({ method, url, ...rest, headers: { ...rest.headers, ...token === undefined ? {} : bearer(token) } })
const write = async (productId: string, overrides: object = {}, token = user.token) => await call('POST', '/reviews', { token, payload: reviewOf(productId, overrides) })
const product = async () => (await newProduct(app)).id
const written = async (overrides: object = {}) => {
  const response = await write(await product(), overrides)
  return { ...response.json() as { id: string, productId: string, rating: number }, etag: response.headers.etag as string }
}
const ratingOf = async (productId: string) => (await call('GET', `/ratings/${productId}`)).json()
const list = async (query: string) => (await call('GET', `/reviews?${query}`)).json() as { items: { id: string, rating: number, title: string }[], nextCursor: string | null }

t.test('a review is written, and read by everybody', withMongodb, async t => {
  const productId = await product()
  const response = await write(productId)
  t.equal(response.statusCode, 201)
  const review = response.json()
  t.match(review, { ...reviewOf(productId), authorId: user.id, id: /^[0-9a-f]{8}-[0-9a-f]{4}-7/, createdAt: /Z$/ })
  t.notOk('version' in review || '_id' in review, 'how it is kept is not told')
  t.match(response.headers, { location: `/reviews/${review.id}`, etag: '"1"' })
  t.same((await call('GET', `/reviews/${review.id}`)).json(), review)
})

t.test('it counts in the rating of its product, once it is changed and until it is gone', withMongodb, async t => {
  const productId = await product()
  t.same(await ratingOf(productId), { productId, count: 0, average: null })
  const first = (await write(productId, { rating: 5 })).json()
  await write(productId, { rating: 2 }, other.token)
  t.same(await ratingOf(productId), { productId, count: 2, average: 3.5 })
  await call('PATCH', `/reviews/${first.id}`, { token: user.token, headers: { 'if-match': '*' }, payload: { rating: 1 } })
  t.same(await ratingOf(productId), { productId, count: 2, average: 1.5 })
  await call('DELETE', `/reviews/${first.id}`, { token: user.token, headers: { 'if-match': '*' } })
  t.same(await ratingOf(productId), { productId, count: 1, average: 2 })
})

t.test('a user reviews a product once, also at the same moment', withMongodb, async t => {
  const productId = await product()
  const responses = await Promise.all(Array.from({ length: 8 }, async () => await write(productId)))
  t.same(responses.map(({ statusCode }) => statusCode).sort(), [201, ...Array.from({ length: 7 }, () => 409)])
  const refused = responses.find(({ statusCode }) => statusCode === 409)!
  t.match(refused.json(), { code: 'REVIEW_EXISTS', errors: [{ pointer: '#/body/productId' }] })
  t.match(await ratingOf(productId), { count: 1 })
})

t.test('a product that is not there has no reviews', withMongodb, async t => {
  t.match((await write(randomUUID())).json(), { status: 422, code: 'PRODUCT_GONE', errors: [{ pointer: '#/body/productId' }] })
})

t.test('of two who change the same version one succeeds', withMongodb, async t => {
  const { id, etag } = await written()
  const responses = await Promise.all([1, 2, 3, 4].map(async rating => await call('PATCH', `/reviews/${id}`, { token: user.token, headers: { 'if-match': etag }, payload: { rating } })))
  t.same(responses.map(({ statusCode }) => statusCode).sort(), [200, 412, 412, 412])
  const { statusCode, headers } = await call('GET', `/reviews/${id}`, { headers: { 'if-none-match': '"2"' } })
  t.match({ statusCode, etag: headers.etag }, { statusCode: 304, etag: '"2"' })
})

t.test('a change says which version it is of', withMongodb, async t => {
  const { id } = await written()
  for (const [etag, status] of [[undefined, 428], ['"2"', 412], ['W/"1"', 412], ['"1"', 200]] as const) {
    const response = await call('PATCH', `/reviews/${id}`, { token: user.token, headers: etag === undefined ? {} : { 'if-match': etag }, payload: { title: 'Louder' } })
    t.equal(response.statusCode, status, etag ?? 'none')
  }
})

t.test('what is left out of a change stays; a change of nothing changes nothing', withMongodb, async t => {
  const { id } = await written({ rating: 3 })
  const patch = async (payload: object) => await call('PATCH', `/reviews/${id}`, { token: user.token, headers: { 'if-match': '*', 'content-type': 'application/merge-patch+json' }, payload: JSON.stringify(payload) })
  t.match((await patch({ title: 'Louder' })).json(), { rating: 3, title: 'Louder', text: reviewOf('').text })
  const same = await patch({})
  t.equal(same.headers.etag, '"2"')
})

t.test('a review is its author\'s; an admin may take it away', withMongodb, async t => {
  const { id } = await written()
  const headers = { 'if-match': '*' }
  t.match((await call('PATCH', `/reviews/${id}`, { token: other.token, headers, payload: { rating: 1 } })).json(), { status: 403, code: 'NOT_OWN_REVIEW' })
  t.match((await call('DELETE', `/reviews/${id}`, { token: other.token, headers })).json(), { status: 403, code: 'NOT_OWN_REVIEW' })
  t.match((await call('PATCH', `/reviews/${id}`, { token: admin.token, headers, payload: { rating: 1 } })).json(), { status: 403 })
  t.equal((await call('DELETE', `/reviews/${id}`, { token: admin.token, headers })).statusCode, 204)
  t.match((await call('GET', `/reviews/${id}`)).json(), { status: 404, code: 'NOT_FOUND' })
  t.match((await call('DELETE', `/reviews/${id}`, { token: user.token, headers })).json(), { status: 404 })
})

t.test('a list goes through all, whichever way, once each, while others are written', withMongodb, async t => {
  const productId = await product()
  const authors = [user, other, admin, await registered(app), await registered(app)]
  for (const [index, { token }] of authors.entries()) await write(productId, { rating: 1 + index % 3 }, token)
  for (const [sort, expected] of [['rating', [1, 1, 2, 2, 3]], ['-rating', [3, 2, 2, 1, 1]], ['createdAt', [1, 2, 3, 1, 2]], ['-createdAt', [2, 1, 3, 2, 1]]] as const) {
    const seen: { id: string, rating: number }[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const page = await list(`productId=${productId}&sort=${sort}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`)
      seen.push(...page.items)
      cursor = page.nextCursor
      await written()
    }
    t.same(seen.map(({ rating }) => rating), expected, sort)
    t.equal(new Set(seen.map(({ id }) => id)).size, 5)
  }
})

t.test('a page links to the next', withMongodb, async t => {
  await Promise.all([written(), written()])
  const response = await call('GET', '/reviews?limit=1')
  t.equal(response.headers.link, `</reviews?limit=1&cursor=${response.json().nextCursor}>; rel="next"`)
})

t.test('a list is of a product, an author, a rating, or what is written', withMongodb, async t => {
  const productId = await product()
  const mine = (await write(productId, { rating: 5, title: 'All (and) more.' })).json()
  const theirs = (await write(productId, { rating: 2, text: 'It CLICKS' }, other.token)).json()
  const ids = async (query: string) => (await list(`productId=${productId}&${query}`)).items.map(({ id }) => id)
  t.same(await ids('sort=createdAt'), [mine.id, theirs.id])
  t.same(await ids(`authorId=${other.id}`), [theirs.id])
  t.same(await ids('rating=5'), [mine.id])
  t.same(await ids('q=clicks'), [theirs.id])
  t.same(await ids(`q=${encodeURIComponent('l (and) M')}`), [mine.id], 'the text is no pattern')
  t.same(await ids('q=.*'), [])
  for (const text of ['\\', '[', '(?i)', '\u2028', '\u3000x', '#', 'a{2}', '\\Qa\\E']) t.same(await ids(`q=${encodeURIComponent(text)}`), [], encodeURIComponent(text))
  t.same(await ids('rating=1'), [])
})

const badQueries = ['productId=1', 'productId[$ne]=x', 'productId=$ne', 'authorId=%24gt', 'rating=0', 'rating=6', 'rating[$gt]=0', 'rating=x', 'sort=title', 'sort=$natural', 'limit=0', 'limit=101', 'cursor=%25', 'cursor=bnVsbA', 'q=%00', 'unknown=1', 'q=a&q=b']
for (const query of badQueries) {
  t.test(`GET /reviews?${query} is refused`, withMongodb, async t => {
    const response = await call('GET', `/reviews?${query}`)
    t.equal(response.statusCode, 400, response.body)
    t.match(response.json().code, /^(?:VALIDATION_FAILED|INVALID_CURSOR)$/)
  })
}

const id = randomUUID()
const badBodies: Record<string, object | string> = {
  nothing: '',
  'no JSON': '{',
  'an array': '[]',
  'an operator for the product': reviewOf(id, { productId: { $ne: null } }),
  'an operator for the rating': reviewOf(id, { rating: { $gt: 0 } }),
  'a rating in words': reviewOf(id, { rating: '4' }),
  'half a star': reviewOf(id, { rating: 4.5 }),
  'six stars': reviewOf(id, { rating: 6 }),
  'no title': reviewOf(id, { title: '' }),
  'a title of blanks': reviewOf(id, { title: '   ' }),
  'a title without an end': reviewOf(id, { title: 'a'.repeat(201) }),
  'a NUL': reviewOf(id, { text: 'a\0b' }),
  'an author': reviewOf(id, { authorId: id }),
  'an id': reviewOf(id, { _id: id }),
  'a version': reviewOf(id, { version: 7 }),
  'a field of its own': reviewOf(id, { $where: 'sleep(1)' })
}
for (const [name, payload] of Object.entries(badBodies)) {
  t.test(`a review with ${name} is refused`, withMongodb, async t => {
    const before = (await list('limit=1')).items[0]?.id
    const response = await call('POST', '/reviews', { token: user.token, headers: json, payload: typeof payload === 'string' ? payload : JSON.stringify(payload) })
    t.equal(response.statusCode, 400, response.body)
    t.equal((await list('limit=1')).items[0]?.id, before)
  })
}

t.test('a change can\'t reach what is not the author\'s to say', withMongodb, async t => {
  const { id } = await written()
  for (const payload of [{ authorId: other.id }, { productId: randomUUID() }, { version: 9 }, { createdAt: '2020-01-01T00:00:00.000Z' }, { $set: { rating: 1 } }, { rating: null }, { 'text.$': 'a' }]) {
    const response = await call('PATCH', `/reviews/${id}`, { token: user.token, headers: { 'if-match': '*' }, payload })
    t.equal(response.statusCode, 400, JSON.stringify(payload))
  }
  t.equal((await call('GET', `/reviews/${id}`)).headers.etag, '"1"')
})

t.test('an id that is none is refused, one of nothing not found', withMongodb, async t => {
  for (const [id, status] of [['1', 400], ['%24ne', 400], [randomUUID(), 404]] as const) t.equal((await call('GET', `/reviews/${id}`)).statusCode, status, id)
})

t.test('MongoDB itself refuses what is no review', withValidation, async t => {
  const collection = app.mongodb.collection<{ _id: string, [field: string]: unknown }>(reviews.name)
  const document = { _id: randomUUID(), productId: randomUUID(), authorId: randomUUID(), rating: 3, title: 'a', text: '', version: 1, createdAt: new Date(), updatedAt: new Date() }
  await collection.insertOne(document)
  for (const wrong of [{ rating: 6 }, { rating: 2.5 }, { productId: 'x' }, { title: '' }, { createdAt: 'now' }, { more: 1 }, { version: 0 }]) {
    const refused = await collection.insertOne({ ...document, _id: randomUUID(), authorId: randomUUID(), ...wrong }).catch(error => error)
    t.ok(refused instanceof MongoServerError && refused.code === 121, JSON.stringify(wrong))
  }
  await collection.deleteOne({ _id: document._id })
})

t.test('a review that can\'t count is not written', withTransactions, async t => {
  const productId = await product()
  await app.mongodb.collection<{ _id: string, count: number, sum: number }>(ratings.name).insertOne({ _id: productId, count: 2_147_483_647, sum: 2_147_483_647 })
  t.equal((await write(productId)).statusCode, 500)
  t.same((await list(`productId=${productId}`)).items, [])
})

t.test('ratings are right when many review at once', withTransactions, async t => {
  const productId = await product()
  const authors = await Promise.all(Array.from({ length: 10 }, async () => await registered(app)))
  const responses = await Promise.all(authors.map(async ({ token }, index) => await write(productId, { rating: 1 + index % 5 }, token)))
  const accepted = responses.filter(({ statusCode }) => statusCode === 201)
  t.ok(responses.every(({ statusCode }) => statusCode === 201 || statusCode === 503))
  t.match(await ratingOf(productId), { count: accepted.length })
})
