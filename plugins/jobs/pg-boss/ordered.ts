// What queues whose jobs run in order need beside pg-boss.
import type { FastifyBaseLogger } from 'fastify'
import type { Job as Fetched, PgBoss } from 'pg-boss'
import type { Job } from '../types.ts'

const RELEASE_MS = 5_000
const MAX_DELAY_MS = 86_400_000

/**
 * pg-boss holds back the jobs of a key behind one that has failed for good, until an operator has dealt with that. Here
 * the dead letter queue is where operators deal with it, and it has its copy since it failed: the
 * original is taken away, now and then, and the others go on.
 */
export function releaseKeys (boss: PgBoss, queue: string, log: FastifyBaseLogger): { stop: () => void } {
  const release = async () => {
    for (const key of await boss.getBlockedKeys(queue)) {
      const jobs = await boss.findJobs(queue, { key })
      await boss.deleteJob(queue, jobs.filter(({ state }) => state === 'failed').map(({ id }) => id))
    }
  }
  // A database that is away is reported by others.
  const timer = setInterval(() => void release().catch(error => log.debug({ err: error, queue }, 'the jobs behind a dead one are not released yet')), RELEASE_MS)
  return { stop: () => clearInterval(timer) }
}

/** Fails an attempt, and puts off the next one where it would come too early. */
export async function postpone (boss: PgBoss, { name, retry }: Job, fetched: Fetched<unknown>, output: object, delayMs: number): Promise<void> {
  // The least that pg-boss waits anyway.
  const leastMs = Math.min(retry.maxDelaySeconds, Math.max(retry.delaySeconds, 1) * 2 ** Math.min(16, fetched.retryCount)) * 1000
  if (delayMs <= leastMs) return
  // Settled here, as only what waits can be put off; what the runner says of it later finds it settled.
  await boss.fail(name, fetched, output)
  await boss.update(name, undefined, { id: fetched.id, startAfter: `${Math.ceil(Math.min(delayMs, MAX_DELAY_MS) / 1000)} seconds` })
}
