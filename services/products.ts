import { Prisma } from '../prisma/generated/client.ts'
import { isForeignKeyViolation, isUniqueViolation, persistently, type Database } from './database.ts'
import { changeProduct, containing } from './dialect.ts'
import { DomainError } from './errors.ts'
import type { Money } from './money.ts'
import { keyset, type Page, type PageQuery } from './pagination.ts'

/** Something for sale. `version` grows with every change, also of the stock. */
export interface Product {
  id: string
  sku: string
  name: string
  description: string
  price: Money
  stock: number
  version: number
  createdAt: Date
  updatedAt: Date
}

export type NewProduct = Pick<Product, 'sku' | 'name' | 'description' | 'price' | 'stock'>

/** What changes, merged into what is there (RFC 7396): also within the price. */
export interface ProductPatch { name?: string, description?: string, price?: Partial<Money>, stock?: number }

/** The versions that a change may be made to: those in the list, or whichever is there. */
export type Versions = readonly number[] | 'any'

type Row = Omit<Product, 'price'> & { priceAmount: number, priceCurrency: string }

const order = keyset('products', {
  name: { column: 'name', kind: 'text', value: (product: Product) => product.name },
  price: { column: 'price_amount', kind: 'integer', value: product => product.price.amount },
  createdAt: { column: 'created_at', kind: 'time', value: product => product.createdAt }
})

/** What GET /products may be sorted by. */
export const productSorts = order.sorts
type ProductSort = typeof productSorts[number]

/**
 * The products, or those with `q` in name, SKU or description, whatever its case; newest first unless sorted.
 * @throws DomainError INVALID_CURSOR
 */
export async function listProducts (db: Database, query: PageQuery<ProductSort> & { q?: string }): Promise<Page<Product>> {
  const { sort = '-createdAt', q = '' } = query
  const { after, by, take } = order.seek(sort, query)
  const filter = q === '' ? Prisma.sql`TRUE` : containing(['name', 'sku', 'description'], q)
  const rows = await db.$queryRaw<Row[]>`
    SELECT id, sku, name, description, price_amount AS "priceAmount", price_currency AS "priceCurrency", stock, version,
      created_at AS "createdAt", updated_at AS "updatedAt"
    FROM products WHERE ${filter} AND ${after} ORDER BY ${by} LIMIT ${take}`
  return order.page(rows.map(toProduct), sort, query)
}

/** @throws DomainError NOT_FOUND */
export async function findProduct (db: Database, id: string): Promise<Product> {
  const row = await db.product.findUnique({ where: { id } })
  if (row === null) throw notFound()
  return toProduct(row)
}

/** @throws DomainError SKU_TAKEN */
export async function createProduct (db: Database, { price, ...rest }: NewProduct): Promise<Product> {
  try {
    return toProduct(await db.product.create({ data: { ...rest, priceAmount: price.amount, priceCurrency: price.currency } }))
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new DomainError('SKU_TAKEN', `Another product has the SKU ${rest.sku}.`, [{ path: '/sku', detail: 'is taken' }])
  }
}

/**
 * Changes a product if it has one of the versions: of two who change the same version, one succeeds.
 * A patch without anything changes nothing, its version neither.
 * @throws DomainError NOT_FOUND, STALE_VERSION
 */
export async function updateProduct (db: Database, id: string, versions: Versions, { price, ...rest }: ProductPatch): Promise<Product> {
  const where = ofVersion(id, versions)
  const changes = { ...rest, priceAmount: price?.amount, priceCurrency: price?.currency }
  const row = Object.values(changes).every(value => value === undefined)
    ? await db.product.findFirst({ where })
    : await persistently(() => changeProduct(db, where, { ...changes, version: { increment: 1 } }))
  return !row ? await refuse(db, id) : toProduct(row)
}

/**
 * Deletes a product if it has one of the versions.
 * @throws DomainError NOT_FOUND, STALE_VERSION, PRODUCT_IN_USE
 */
export async function deleteProduct (db: Database, id: string, versions: Versions): Promise<void> {
  try {
    const { count } = await db.product.deleteMany({ where: ofVersion(id, versions) })
    if (count === 0) await refuse(db, id)
  } catch (error) {
    if (!isForeignKeyViolation(error)) throw error
    throw new DomainError('PRODUCT_IN_USE', 'There are orders of this product, so it stays. Set its stock to 0 to stop its sale.')
  }
}

// The condition is part of the statement that changes the row: nothing can come in between.
function ofVersion (id: string, versions: Versions): Prisma.ProductWhereInput & { id: string } {
  return versions === 'any' ? { id } : { id, version: { in: [...versions] } }
}

async function refuse (db: Database, id: string): Promise<never> {
  const { version } = await findProduct(db, id)
  throw new DomainError('STALE_VERSION', `The product has changed: it is at version ${version} now. Read it again before you change it.`)
}

function toProduct ({ priceAmount, priceCurrency, ...rest }: Row): Product {
  return { ...rest, price: { amount: priceAmount, currency: priceCurrency } }
}

function notFound (): DomainError {
  return new DomainError('NOT_FOUND', 'There is no such product.')
}
