// What the services of orders say in the words of their database, MySQL or MariaDB.
import { Prisma } from '../prisma/generated/client.ts'
import type { Database } from './database.ts'
import { NOW } from './dialect.ts'

/** A state of an order. */
export function orderStatus (status: string): Prisma.Sql {
  return Prisma.sql`${status}`
}

/** Rows with one of these ids. */
export function oneOf (ids: string[]): Prisma.Sql {
  return ids.length === 0 ? Prisma.sql`FALSE` : Prisma.sql`id IN (${Prisma.join(ids)})`
}

/** Adds to the stock of products; what is below 0 takes away. */
export async function addToStock (tx: Database, amounts: { productId: string, quantity: number }[]): Promise<void> {
  const quantity = Prisma.join(amounts.map(({ productId, quantity }) => Prisma.sql`WHEN ${productId} THEN ${quantity}`), ' ')
  await tx.$executeRaw`
    UPDATE products SET stock = stock + CASE id ${quantity} ELSE 0 END, version = version + 1, updated_at = ${NOW}
    WHERE ${oneOf(amounts.map(({ productId }) => productId))}`
}
