// What a page of a long list costs, the first against the 10,000th, side by side in one run:
// `BENCH_DATABASE_URL=postgresql://… npx node bench/pagination.ts [ROUNDS] [PRODUCTS]`, on a server where
// a database of its own can be made and dropped. Times are of listProducts with 20 items.
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from '../prisma/generated/client.ts'
import { applyMigrations } from '../prisma/migrate.ts'
import { MAX_LIMIT } from '../services/pagination.ts'
import { listProducts, productSorts } from '../services/products.ts'
import { median } from './statistics.ts'

const server = process.env.BENCH_DATABASE_URL
if (!server) throw new Error('BENCH_DATABASE_URL is not set')
const rounds = Number(process.argv[2] ?? 300)
const products = Number(process.argv[3] ?? 1_000_000)

const LIMIT = 20
const DEEP_PAGE = 10_000
const TARGET = 1.3
/** In the name of three products of four, so that there are 10,000 pages of them, too. */
const SEARCH = 'lamp'
/** In the name of ten of a million: the whole table may have to be read. */
const RARE = 'needle'
/** Of rows that have the value in common: 100 the price, 50 the time, a few the name. */
const INSERT = `
  INSERT INTO products (id, sku, name, description, price_amount, price_currency, stock, created_at, updated_at)
  SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
    'SKU-' || n, substr(hash, 20, 5) || CASE WHEN n % 100000 = 0 THEN ' needle' WHEN n % 4 = 0 THEN ' chair' ELSE ' lamp' END, 'Number ' || n || ' of many, ' || repeat(hash, 3),
    ('x' || substr(hash, 25, 8))::bit(32)::bigint % 10000, 'EUR', n % 500, at, at
  FROM (SELECT n, md5(n::text) AS hash, timestamptz '2026-01-01' + (n / 50) * interval '1 ms' FROM generate_series(1, $1::integer) AS n) AS numbered (n, hash, at)`

type Query = Parameters<typeof listProducts>[1]

const name = `keel_bench_${randomUUID().replaceAll('-', '')}`
const url = new URL(server)
url.pathname = `/${name}`
await sql(server, `CREATE DATABASE ${name}`)
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url.href, max: 1 }) })
try {
  await applyMigrations(url.href)
  await sql(url.href, INSERT, [products])
  await sql(url.href, 'VACUUM ANALYZE products')
  for (const sort of productSorts) await compare(`sort=${sort}`, { sort })
  for (const sort of productSorts) await compare(`q=${SEARCH} sort=${sort}`, { q: SEARCH, sort })
  const rare = await medianOf(Math.ceil(rounds / 100), { q: RARE })
  process.stdout.write(`${`q=${RARE}`.padEnd(26)} page 1 ${rare.toFixed(2)} ms\n`)
  process.stdout.write(`medians of ${rounds} rounds, ${LIMIT} of ${products} products\n`)
} finally {
  await prisma.$disconnect()
  await sql(server, `DROP DATABASE ${name} WITH (FORCE)`)
}

/** Both pages in turn, so that whatever else the machine does hits both. */
async function compare (title: string, query: Query): Promise<void> {
  const cursor = await cursorBehind((DEEP_PAGE - 1) * LIMIT, query)
  const [first, deep]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    first.push(await timeOf(query))
    deep.push(await timeOf({ ...query, cursor }))
  }
  const ratio = median(deep) / median(first)
  process.stdout.write(`${title.padEnd(26)} page 1 ${median(first).toFixed(2)} ms   page ${DEEP_PAGE} ${median(deep).toFixed(2)} ms   ratio ${ratio.toFixed(2)}${ratio > TARGET ? ` (more than ${TARGET})` : ''}\n`)
}

/** Walks there as a client does. */
async function cursorBehind (rows: number, query: Query): Promise<string> {
  let cursor: string | undefined
  for (let left = rows; left > 0; left -= MAX_LIMIT) {
    const page = await listProducts(prisma, { ...query, cursor, limit: Math.min(left, MAX_LIMIT) })
    if (page.nextCursor === null) throw new Error(`the list ends before row ${rows}`)
    cursor = page.nextCursor
  }
  return cursor ?? ''
}

async function timeOf (query: Query): Promise<number> {
  const began = performance.now()
  await listProducts(prisma, { ...query, limit: LIMIT })
  return performance.now() - began
}

async function medianOf (times: number, query: Query): Promise<number> {
  const measured: number[] = []
  for (let round = 0; round < times; round++) measured.push(await timeOf(query))
  return median(measured)
}

async function sql (url: string, text: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text, values)
  } finally {
    await client.end()
  }
}
