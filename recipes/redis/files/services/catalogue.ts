import type { Database } from './database.ts'
import { DomainError } from './errors.ts'
import type { Money } from './money.ts'
import { findProduct } from './products.ts'

/** A product as a shop window shows it: what the merchant says of it, and not what is in stock, which changes with every order. */
export interface CatalogueItem { id: string, sku: string, name: string, description: string, price: Money }

/** Where items are kept: plugins/cache has such. */
export interface CatalogueCache {
  get: (key: string, load: () => Promise<CatalogueItem | null>, options: { tags: string[] }) => Promise<CatalogueItem | null>
}

/**
 * An item, from the cache if it is there. The tag `product:ID` ends it.
 * @throws DomainError NOT_FOUND
 */
export async function findItem (db: Database, cache: CatalogueCache, id: string): Promise<CatalogueItem> {
  const item = await cache.get(id, async () => await loadItem(db, id), { tags: [`product:${id}`] })
  if (item === null) throw new DomainError('NOT_FOUND', 'There is no such product.')
  return item
}

async function loadItem (db: Database, id: string): Promise<CatalogueItem | null> {
  try {
    const { sku, name, description, price } = await findProduct(db, id)
    return { id, sku, name, description, price }
  } catch (error) {
    if (error instanceof DomainError && error.code === 'NOT_FOUND') return null
    throw error
  }
}
