// A list that is walked while its rows come and go: what was there all along is seen, once.
import { randomUUID } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { productSorts } from '../../services/products.ts'
import { buildApp } from '../helpers/app.ts'

interface Item { id: string, name: string, price: { amount: number }, createdAt: string }

const LIMIT = 5
const STAYING = 150
const PASSING = 40
const app = await buildApp(t)
const { product } = app.prisma
const names = ['Chair', 'Lamp', 'Table']
const pick = <T>(values: readonly T[]) => values[Math.floor(Math.random() * values.length)] as T

/** A product that ties with a third of the others in whatever it is sorted by. Its id is random, so that it may come before or behind them. */
const row = () => ({ id: randomUUID(), sku: randomUUID(), name: pick(names), description: '', priceAmount: pick([100, 200, 300]), priceCurrency: 'EUR', stock: 1, createdAt: new Date(Date.UTC(2026, 0, pick([1, 2, 3]))) })

const staying = Array.from({ length: STAYING }, row)
await product.createMany({ data: staying })

for (const sort of productSorts) {
  t.test(`by ${sort}`, async (t) => {
    const passing = Array.from({ length: PASSING }, row)
    await product.createMany({ data: passing })
    const walked = new AbortController()
    let changes = 0
    const churn = async () => {
      while (!walked.signal.aborted) {
        const fresh = row()
        await product.create({ data: fresh })
        const [gone] = passing.splice(Math.floor(Math.random() * passing.length), 1, fresh)
        await product.delete({ where: { id: gone?.id } })
        changes += 2
        await turn()
      }
    }
    const churning = Promise.all(Array.from({ length: 4 }, churn))
    const seen = await walk(sort).finally(() => walked.abort())
    await churning
    t.ok(changes > 10, `${changes} rows came or went meanwhile`)
    const ids = seen.map(({ id }) => id)
    t.equal(new Set(ids).size, ids.length, 'none is seen twice')
    t.same(staying.filter(({ id }) => !ids.includes(id)), [], 'none of those that stayed is missed')
    t.same(ids, seen.toSorted(by(sort)).map(({ id }) => id), 'all are in order')
    await product.deleteMany({ where: { id: { in: passing.map(({ id }) => id) } } })
  })
}

async function walk (sort: string): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const page = (await app.inject(`/products?limit=${LIMIT}&sort=${sort}${cursor && `&cursor=${cursor}`}`)).json() as { items: Item[], nextCursor: string | null }
    items.push(...page.items)
    cursor = page.nextCursor
  }
  return items
}

/** The order that a list sorted so has: ties by id. */
function by (sort: string): (a: Item, b: Item) => number {
  const key = sort.replace('-', '')
  const way = sort.startsWith('-') ? -1 : 1
  const value = ({ name, price, createdAt }: Item): string | number => ({ name, price: price.amount, createdAt })[key] ?? ''
  const compare = (a: string | number, b: string | number) => a < b ? -way : a > b ? way : 0
  return (a, b) => compare(value(a), value(b)) || compare(a.id, b.id)
}
