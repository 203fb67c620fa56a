import type { FastifyInstance } from 'fastify'
import type { Database } from '../../services/database.ts'

/** Begins a transaction, does something in it, and keeps it open, with its connection, until it is released. */
export async function holdTransaction ({ prisma }: FastifyInstance, begin: (tx: Database) => Promise<unknown> = async () => {}): Promise<() => Promise<void>> {
  const { promise: isHeld, resolve: hold } = Promise.withResolvers<void>()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const holder = prisma.$transaction(async tx => {
    await begin(tx)
    hold()
    await released
  }, { timeout: 60_000 })
  await isHeld
  return async () => {
    release()
    await holder
  }
}
