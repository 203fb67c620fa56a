// What the services of orders say in the words of their database, PostgreSQL.
import { Prisma } from '../prisma/generated/client.ts'
import type { Database } from './database.ts'

/** A state of an order. */
export function orderStatus (status: string): Prisma.Sql {
  return Prisma.sql`${status}::order_status`
}

/** Rows with one of these ids. */
export function oneOf (ids: string[]): Prisma.Sql {
  return Prisma.sql`id = ANY(${ids}::uuid[])`
}

/** Adds to the stock of products; what is below 0 takes away. */
export async function addToStock (tx: Database, amounts: { productId: string, quantity: number }[]): Promise<void> {
  await tx.$executeRaw`
    UPDATE products SET stock = stock + moved.quantity, version = version + 1, updated_at = now()
    FROM unnest(${amounts.map(({ productId }) => productId)}::uuid[], ${amounts.map(({ quantity }) => quantity)}::integer[]) AS moved (id, quantity)
    WHERE products.id = moved.id`
}
