import { Prisma, type OrderStatus } from '../prisma/generated/client.ts'
import { isForeignKeyViolation, type Database } from './database.ts'
import { uuid } from './dialect.ts'
import { DomainError } from './errors.ts'
import { recordEvent, type Origin } from './events.ts'
import type { JobSender } from './jobs.ts'
import { MAX_TOTAL, type Money } from './money.ts'
import { orderStatus } from './order-dialect.ts'
import { keyset, type Page, type PageQuery } from './pagination.ts'
import type { Actor } from './scopes.ts'
import { lockProducts, takeStock, type Amount, type Stocked } from './stock.ts'

/** A line of an order: what the product was called and cost when it was ordered. */
export interface OrderItem { productId: string, sku: string, name: string, quantity: number, unitPrice: Money }

export interface Order { id: string, status: OrderStatus, items: OrderItem[], total: Money, createdAt: Date, updatedAt: Date }

export type { OrderStatus } from '../prisma/generated/client.ts'

const visible = {
  id: true,
  userId: true,
  status: true,
  currency: true,
  totalAmount: true,
  createdAt: true,
  updatedAt: true,
  items: { select: { productId: true, sku: true, name: true, quantity: true, unitPriceAmount: true }, orderBy: { position: 'asc' } }
} as const satisfies Prisma.OrderSelect

const { items: _items, ...visibleAlone } = visible

/** An order as it is stored. */
export type OrderRow = Prisma.OrderGetPayload<{ select: typeof visible }>

const newestFirst = keyset('orders', {
  createdAt: { column: 'created_at', kind: 'time', value: (order: Omit<OrderRow, 'items'>) => order.createdAt }
})

/** What is to follow an order: who sends its jobs, how long it may stay unpaid, in milliseconds, and where it comes from. */
export interface OrderFollowUp { jobs: JobSender, ttl: number, origin?: Origin }

/**
 * Orders products at today's prices and takes them out of stock, all or nothing. With
 * the order come the jobs that confirm it and that cancel it when it stays unpaid.
 * @param tx a transaction: the stock stays locked until it ends
 * @throws DomainError DUPLICATE_PRODUCT, ACCOUNT_REQUIRED, UNKNOWN_PRODUCT, MIXED_CURRENCIES, TOTAL_TOO_LARGE, OUT_OF_STOCK
 */
export async function placeOrder (tx: Database, userId: string, { items }: { items: Amount[] }, { jobs, ttl, origin }: OrderFollowUp): Promise<Order> {
  // A UUID may come in upper case; the database gives it back in lower.
  const amounts = items.map(({ productId, quantity }) => ({ productId: productId.toLowerCase(), quantity }))
  refuseDuplicates(amounts)
  // Before anything is locked: tokens of another issuer may name people without an account here.
  if (await tx.user.findUnique({ where: { id: userId }, select: { id: true } }) === null) throw noAccount()
  const lines = match(amounts, await lockProducts(tx, amounts.map(({ productId }) => productId)))
  const currency = commonCurrency(lines)
  const total = totalOf(lines)
  refuseShortage(lines)
  await takeStock(tx, amounts)
  const order = await tx.order.create({ data: { userId, currency, totalAmount: total }, select: visibleAlone }).catch(error => {
    // The products are locked, so it is the account that has gone meanwhile.
    throw isForeignKeyViolation(error) ? noAccount() : error
  })
  const ordered = lines.map(({ product, quantity }) => ({ productId: product.id, sku: product.sku, name: product.name, quantity, unitPriceAmount: product.priceAmount }))
  await tx.orderItem.createMany({ data: ordered.map((item, position) => ({ orderId: order.id, position, ...item })) })
  // Nothing is read back: every statement is time that the products stay locked.
  const row = { ...order, items: ordered }
  await orderChanged(tx, row, 'created', origin)
  await jobs.send('confirm-order', { orderId: row.id }, { tx })
  await jobs.send('expire-order', { orderId: row.id }, { tx, startAfter: ttl })
  return toOrder(row)
}

/** Records that an order was changed, and what it is now; in the transaction that changed it. */
export async function orderChanged (tx: Database, row: OrderRow, change: 'created' | Exclude<OrderStatus, 'pending'>, origin?: Origin): Promise<void> {
  await recordEvent(tx, { type: `order.${change}`, subject: row.id, ownerId: row.userId, data: { orderId: row.id, order: toOrder(row) }, origin })
}

/**
 * An order that the actor may see: one's own, or with orders:admin any.
 * @throws DomainError NOT_FOUND, also for another's
 */
export async function findOrder (db: Database, actor: Actor, id: string): Promise<Order> {
  return toOrder(await findOrderRow(db, { id, ...visibleTo(actor) }))
}

/** An order, where it is this user's, with whose it is. @throws DomainError NOT_FOUND */
export async function findOrderRow (db: Database, where: { id: string, userId?: string }): Promise<OrderRow> {
  const row = await db.order.findFirst({ where, select: visible })
  if (row === null) throw new DomainError('NOT_FOUND', 'There is no such order.')
  return row
}

/**
 * The orders that the actor may see, optionally those in one state; newest first.
 * @throws DomainError INVALID_CURSOR
 */
export async function listOrders (db: Database, actor: Actor, query: Omit<PageQuery, 'sort'> & { status?: OrderStatus }): Promise<Page<Order>> {
  const { after, by, take } = newestFirst.seek('-createdAt', query)
  const { userId } = visibleTo(actor)
  const owned = userId === undefined ? Prisma.sql`TRUE` : Prisma.sql`user_id = ${uuid(userId)}`
  const filter = query.status === undefined ? Prisma.sql`TRUE` : Prisma.sql`status = ${orderStatus(query.status)}`
  const found = await db.$queryRaw<Omit<OrderRow, 'items'>[]>`
    SELECT id, user_id AS "userId", status, currency, total_amount AS "totalAmount", created_at AS "createdAt", updated_at AS "updatedAt"
    FROM orders WHERE ${owned} AND ${filter} AND ${after} ORDER BY ${by} LIMIT ${take}`
  const { items: rows, nextCursor } = newestFirst.page(found, '-createdAt', query)
  const { orderBy, select } = visible.items
  const items = await db.orderItem.findMany({ where: { orderId: { in: rows.map(({ id }) => id) } }, orderBy, select: { ...select, orderId: true } })
  const byOrder = Map.groupBy(items, ({ orderId }) => orderId)
  return { items: rows.map(row => toOrder({ ...row, items: (byOrder.get(row.id) ?? []).map(({ orderId: _, ...item }) => item) })), nextCursor }
}

/** The one rule of who sees which orders. */
export function visibleTo ({ id, scopes }: Actor): { userId?: string } {
  return scopes.has('orders:admin') ? {} : { userId: id }
}

function noAccount (): DomainError {
  return new DomainError('ACCOUNT_REQUIRED', 'There is no account here for the one that the access token names: only people with one can order.')
}

interface Line { product: Stocked, quantity: number }

function refuseDuplicates (amounts: Amount[]): void {
  const seen = new Set<string>()
  const issues = amounts.flatMap(({ productId }, index) => {
    const isNew = !seen.has(productId)
    seen.add(productId)
    return isNew ? [] : [{ path: `/items/${index}/productId`, detail: 'is listed before' }]
  })
  if (issues.length > 0) throw new DomainError('DUPLICATE_PRODUCT', 'Each product may be listed once: add up its quantities.', issues)
}

function match (amounts: Amount[], products: Map<string, Stocked>): Line[] {
  const issues = amounts.flatMap(({ productId }, index) => products.has(productId) ? [] : [{ path: `/items/${index}/productId`, detail: 'is no product' }])
  if (issues.length > 0) throw new DomainError('UNKNOWN_PRODUCT', 'The order names a product that does not exist.', issues)
  return amounts.flatMap(({ productId, quantity }) => {
    const product = products.get(productId)
    return product === undefined ? [] : [{ product, quantity }]
  })
}

function commonCurrency (lines: Line[]): string {
  const [currency = '', ...others] = new Set(lines.map(({ product }) => product.priceCurrency))
  if (others.length > 0) throw new DomainError('MIXED_CURRENCIES', `An order is in one currency; these products are in ${[currency, ...others].join(' and ')}.`)
  return currency
}

// The terms are small enough for a sum that is exact: 100 lines of 1000 times 2^31 are below 2^53.
function totalOf (lines: Line[]): number {
  const total = lines.reduce((sum, { product, quantity }) => sum + product.priceAmount * quantity, 0)
  if (total > MAX_TOTAL) throw new DomainError('TOTAL_TOO_LARGE', `The total would be ${total}; ${MAX_TOTAL} is the most: split the order.`)
  return total
}

function refuseShortage (lines: Line[]): void {
  const short = lines.flatMap(({ product, quantity }, index) => product.stock < quantity ? [{ product, path: `/items/${index}/quantity` }] : [])
  if (short.length === 0) return
  const names = short.map(({ product }) => `${product.sku} (${product.id})`).join(', ')
  throw new DomainError('OUT_OF_STOCK', `There is not enough of ${names}.`, short.map(({ product, path }) => ({ path, detail: `is more than the ${product.stock} in stock of ${product.sku}` })))
}

/** An order as it is shown: without whose it is. */
export function toOrder ({ userId: _, currency, totalAmount, items, ...rest }: OrderRow): Order {
  return {
    ...rest,
    items: items.map(({ unitPriceAmount, ...item }) => ({ ...item, unitPrice: { amount: unitPriceAmount, currency } })),
    total: { amount: Number(totalAmount), currency }
  }
}
