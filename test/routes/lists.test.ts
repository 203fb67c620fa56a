import t from 'tap'
import { buildApp } from '../helpers/app.ts'

interface Item { id: string, sku: string, name: string, price: { amount: number }, createdAt: string }
interface Page { items: Item[], nextCursor: string | null }

const app = await buildApp(t)
const get = (query: string) => app.inject(`/products${query && '?'}${query}`)
const page = async (query: string) => (await get(query)).json() as Page
const row = (sku: string, rest: object = {}) => ({ sku, name: `Name of ${sku}`, description: '', priceAmount: 100, priceCurrency: 'EUR', stock: 1, ...rest })
const add = (...rows: ReturnType<typeof row>[]) => app.prisma.product.createMany({ data: rows })
const skus = ({ items }: { items: Item[] }) => items.map(({ sku }) => sku)

async function walk (query: string, between: (page: Page) => Promise<unknown> = async () => {}): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const next: Page = await page(query + (cursor && `&cursor=${cursor}`))
    items.push(...next.items)
    await between(next)
    cursor = next.nextCursor
  }
  return items
}

t.test('an empty list is one empty page', async (t) => {
  t.same(await page(''), { items: [], nextCursor: null })
})

t.test('a page has 20 items unless it is said how many', async (t) => {
  await add(...Array.from({ length: 25 }, (_, index) => row(`PAGE-${index}`)))
  t.equal((await page('q=page')).items.length, 20)
  t.equal((await page('q=page&limit=1')).items.length, 1)
  t.equal((await page('q=page&limit=100')).items.length, 25)
})

t.test('the whole list is walked without a gap or a repetition, though all values are the same', async (t) => {
  for (const sort of ['price', '-price', 'createdAt']) t.equal(new Set(skus({ items: await walk(`q=page&limit=7&sort=${sort}`) })).size, 25, sort)
})

t.test('the next page is linked with the rest of the query', async (t) => {
  const response = await get('q=PAGE%20&sort=-price&limit=2&q=')
  t.equal(response.statusCode, 400, 'a parameter that comes twice')
  const first = await get('sort=-price&limit=2&q=of+page')
  const link = /^<(.+)>; rel="next"$/.exec(String(first.headers.link))?.[1] ?? ''
  const { pathname, searchParams } = new URL(link, 'http://localhost')
  t.equal(pathname, '/products')
  t.same(Object.fromEntries(searchParams), { sort: '-price', limit: '2', q: 'of page', cursor: first.json().nextCursor })
  const second = await app.inject(link)
  t.equal(second.statusCode, 200)
  t.equal(second.json().items.length, 2)
  t.notSame(second.json().items, first.json().items)
})

t.test('the last page has no link', async (t) => {
  t.equal((await get('q=page&limit=25')).headers.link, undefined)
})

t.test('a list can be sorted by each key, up and down', async (t) => {
  const day = (date: number) => new Date(Date.UTC(2026, 0, date))
  await add(
    row('SORT-1', { name: 'Banana', priceAmount: 300, createdAt: day(2) }),
    row('SORT-2', { name: 'Apple', priceAmount: 20, createdAt: day(3) }),
    row('SORT-3', { name: 'Cherry', priceAmount: 1000, createdAt: day(1) })
  )
  const order = { name: [2, 1, 3], price: [2, 1, 3], createdAt: [3, 1, 2] }
  for (const [key, numbers] of Object.entries(order)) {
    const expected = numbers.map(number => `SORT-${number}`)
    t.same(skus({ items: await walk(`q=sort-&limit=2&sort=${key}`) }), expected, key)
    t.same(skus({ items: await walk(`q=sort-&limit=2&sort=-${key}`) }), expected.toReversed(), `-${key}`)
  }
  t.same(skus(await page('q=sort-')), ['SORT-2', 'SORT-1', 'SORT-3'], 'newest first by default')
})

t.test('rows that come and go between the pages neither repeat nor hide others', async (t) => {
  await add(...Array.from({ length: 12 }, (_, index) => row(`WALK-${index}`, { priceAmount: index * 10 })))
  let round = 0
  const seen = await walk('q=walk-&sort=price&limit=3', async ({ items }) => {
    await add(row(`WALK-BEFORE-${round}`, { priceAmount: 0 }))
    if (items[0]) await app.prisma.product.delete({ where: { id: items[0].id } })
    const last = items.at(-1)
    if (last && round < 3) await app.prisma.product.delete({ where: { id: last.id } })
    round++
  })
  const all = skus({ items: seen })
  t.equal(new Set(all).size, all.length, 'none twice')
  for (let index = 0; index < 12; index++) t.ok(all.includes(`WALK-${index}`), `WALK-${index} was there`)
})

t.test('text is found in name, SKU and description, whatever its case, and taken literally', async (t) => {
  await add(row('FIND-1', { name: 'Straße 50%_off\\' }), row('FIND-2', { description: 'Über straße' }), row('FIND-3', { name: '50 percent' }))
  t.same(skus(await page('q=STRA%C3%9FE&sort=name')).sort(), ['FIND-1', 'FIND-2'])
  t.same(skus(await page('q=find-3')), ['FIND-3'])
  t.same(skus(await page('q=50%25')), ['FIND-1'])
  t.same(skus(await page('q=%25_')), ['FIND-1'])
  t.same(skus(await page('q=off%5C')), ['FIND-1'])
  t.same(skus(await page('q=f_nd')), [])
  t.same(skus(await page("q='%20OR%201=1")), [])
})

t.test('an empty search finds everything', async (t) => {
  t.equal((await page('q=&limit=100')).items.length, await app.prisma.product.count())
})

t.test('a cursor that is not from this list in this order is refused', async (t) => {
  const { nextCursor } = await page('q=page&sort=name&limit=2')
  const cursor = String(nextCursor)
  t.equal((await get(`sort=name&cursor=${cursor}`)).statusCode, 200)
  const ofUsers = Buffer.from(JSON.stringify(['users', 'name', 'x', '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'])).toString('base64url')
  for (const query of [`sort=-name&cursor=${cursor}`, `cursor=${cursor}`, `sort=name&cursor=${cursor.slice(0, -4)}`, `sort=name&cursor=${ofUsers}`, 'sort=name&cursor=forged']) {
    const response = await get(query)
    t.equal(response.statusCode, 400, query)
    t.equal(response.json().code, 'INVALID_CURSOR', query)
  }
})

t.test('a query that does not fit is refused', async (t) => {
  for (const query of ['limit=0', 'limit=-1', 'limit=101', 'limit=1e9', 'limit=5%20', 'limit=0x5', 'limit=1.5', 'limit=', 'sort=stock', 'sort=--name', 'sort=', 'cursor=', 'cursor=%00', `cursor=${'A'.repeat(2049)}`, `q=${'a'.repeat(101)}`, 'q=%00', 'offset=3', 'q=a&q=b']) {
    const response = await get(query)
    t.equal(response.statusCode, 400, query)
    t.match(response.json().errors?.[0]?.pointer, /^#\/query\//, query)
  }
})
