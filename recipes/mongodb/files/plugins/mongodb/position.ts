import type { Prisma, PrismaClient } from '../../prisma/generated/client.ts'

/** After so long without a sign of life of the process that has a place another takes it. */
const LEASE_MS = 10_000

/** A place in the changes: the resume token, as extended JSON; null for one that has not begun. */
export interface Place { token: string | null }

/**
 * Takes a place, or keeps it. Of all processes one has it at a time.
 * @returns undefined while another has it
 */
export async function take (prisma: PrismaClient, name: string, holder: string): Promise<Place | undefined> {
  const [place] = await prisma.$queryRaw<Place[]>`
    INSERT INTO change_stream_positions AS position (name, holder, seen_at) VALUES (${name}, ${holder}::uuid, now())
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, seen_at = now()
      WHERE position.holder IS NULL OR position.holder = excluded.holder OR position.seen_at < now() - ${LEASE_MS}::float8 * interval '1 millisecond'
    RETURNING token`
  return place
}

/** Moves a place on, where this process still has it. @returns whether it has */
export async function move (db: Prisma.TransactionClient, name: string, holder: string, token: string | null): Promise<boolean> {
  return await db.$executeRaw`UPDATE change_stream_positions SET token = ${token}, seen_at = now() WHERE name = ${name} AND holder = ${holder}::uuid` === 1
}

/** Lets another process have it at once. */
export async function release (prisma: PrismaClient, name: string, holder: string): Promise<void> {
  await prisma.$executeRaw`UPDATE change_stream_positions SET holder = NULL WHERE name = ${name} AND holder = ${holder}::uuid`
}
