import type { Database } from './database.ts'
import { DomainError } from './errors.ts'
import { returnStock } from './stock.ts'

/**
 * Adds what the warehouse got in to the stock of a product, in the caller's transaction.
 * @throws DomainError NOT_FOUND when no product has the SKU
 */
export async function restock (tx: Database, { sku, quantity }: { sku: string, quantity: number }): Promise<void> {
  const product = await tx.product.findUnique({ where: { sku }, select: { id: true } })
  if (product === null) throw new DomainError('NOT_FOUND', `There is no product with the SKU ${sku}.`)
  await returnStock(tx, [{ productId: product.id, quantity }])
}
