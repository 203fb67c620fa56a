import type { Database } from './database.ts'
import type { Product } from './products.ts'
import type { User } from './users.ts'

/** The products of these ids, in one statement, by id: those that exist. */
export async function productsById (db: Database, ids: readonly string[]): Promise<Map<string, Product>> {
  const rows = await db.product.findMany({ where: { id: { in: [...ids] } } })
  return new Map(rows.map(({ priceAmount, priceCurrency, ...rest }) => [rest.id, { ...rest, price: { amount: priceAmount, currency: priceCurrency } }]))
}

/** Whose these orders are, in one statement, by the order's id. Who may know it is the caller's to say. */
export async function ownersOfOrders (db: Database, orderIds: readonly string[]): Promise<Map<string, User>> {
  const rows = await db.$queryRaw<(User & { orderId: string })[]>`
    SELECT orders.id AS "orderId", users.id, users.email, users.name, users.role, users.created_at AS "createdAt"
    FROM orders JOIN users ON users.id = orders.user_id WHERE orders.id = ANY(${[...orderIds]}::uuid[])`
  return new Map(rows.map(({ orderId, ...user }) => [orderId, user]))
}
