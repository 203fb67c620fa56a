import type { ClientSession } from 'mongodb'
import { within } from '../../server/within.ts'
import { MongoAwayError } from './errors.ts'
import type { MongoLink } from './link.ts'

const SINGLE = 'MongoDB is a single server without a replica set: it has no transactions. Make it one (rs.initiate()), or see MONGODB_TRANSACTIONS'

export interface TransactionOptions {
  link: MongoLink
  /** What to do on a server that has none: refuse, or do the steps one by one. */
  isRequired: boolean
  /** For how long it is tried, in milliseconds. */
  timeoutMs: number
}

/**
 * Runs `work` in a transaction; again, from its beginning, when the server says that others changed the same.
 * @throws MongoAwayError where the server has none and they are required, or when there is no end to it
 */
export async function inMongoTransaction<T> ({ link, isRequired, timeoutMs }: TransactionOptions, work: (session: ClientSession | undefined) => Promise<T>): Promise<T> {
  if (!await link.isReplicated()) {
    if (isRequired) throw new MongoAwayError(SINGLE)
    return await work(undefined)
  }
  const until = performance.now() + timeoutMs
  const late = () => { throw new MongoAwayError(`The transaction did not come to its end within ${timeoutMs} ms`) }
  const running = link.client.withSession(async session => await session.withTransaction(async () => {
    // The driver alone would try for two minutes.
    if (performance.now() > until) late()
    const result = await work(session)
    // Nobody waits for it any more: it is taken back.
    if (performance.now() > until) late()
    return result
  }, { readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' }, maxCommitTimeMS: timeoutMs }))
  return await within(running, timeoutMs, late)
}
