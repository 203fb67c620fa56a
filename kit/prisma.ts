import type { PrismaClient } from '../prisma/generated/client.ts'
import { openPrisma } from './set-up-database.ts'

/** Runs `use` on a client of a database, which ends with it. */
export async function withPrisma<T> (url: string, use: (prisma: PrismaClient) => Promise<T>): Promise<T> {
  const prisma = await openPrisma(url)
  try {
    return await use(prisma)
  } finally {
    await prisma.$disconnect()
  }
}
