import type { Database } from './database.ts'
import { LOCKED } from './dialect.ts'
import { addToStock, oneOf } from './order-dialect.ts'

/** How many of a product. */
export interface Amount { productId: string, quantity: number }

/** What an order needs to know of a product, as it is until the transaction ends. */
export interface Stocked { id: string, sku: string, name: string, priceAmount: number, priceCurrency: string, stock: number }

/**
 * Keeps others from changing these products until the transaction ends, and reads
 * them. Everyone locks them in the order of their ids, so no two wait for each other.
 * @returns those that exist, by id
 */
export async function lockProducts (tx: Database, ids: string[]): Promise<Map<string, Stocked>> {
  const rows = await tx.$queryRaw<Stocked[]>`
    SELECT id, sku, name, price_amount AS "priceAmount", price_currency AS "priceCurrency", stock
    FROM products WHERE ${oneOf(ids)} ORDER BY id ${LOCKED}`
  return new Map(rows.map(row => [row.id, row]))
}

/** Takes amounts out of the stock of locked products. The database refuses to go below 0. */
export async function takeStock (tx: Database, amounts: Amount[]): Promise<void> {
  await addToStock(tx, amounts.map(({ productId, quantity }) => ({ productId, quantity: -quantity })))
}

/** Puts amounts back into stock; locks the products. */
export async function returnStock (tx: Database, amounts: Amount[]): Promise<void> {
  await lockProducts(tx, amounts.map(({ productId }) => productId))
  await addToStock(tx, amounts)
}
