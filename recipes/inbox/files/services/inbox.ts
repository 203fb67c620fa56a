import type { PrismaClient } from '../prisma/generated/client.ts'

const BATCH = 1_000

/**
 * Forgets the messages that were handled before `until`: one that a broker delivers again after that has its effect again.
 * A batch at a time; stops between two when the signal fires, and the next run goes on.
 * @returns how many
 */
export async function forgetMessages (prisma: PrismaClient, until: Date, signal: AbortSignal): Promise<number> {
  let forgotten = 0
  for (let count = BATCH; count === BATCH;) {
    signal.throwIfAborted()
    count = await prisma.$executeRaw`
      DELETE FROM handled_messages WHERE ctid = ANY(ARRAY(SELECT ctid FROM handled_messages WHERE handled_at < ${until} LIMIT ${BATCH} FOR UPDATE SKIP LOCKED))`
    forgotten += count
  }
  return forgotten
}
