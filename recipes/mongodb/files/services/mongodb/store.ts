import type { ClientSession, Collection, Document } from 'mongodb'

/** A transaction that operations are part of; undefined on a server that has none (MONGODB_TRANSACTIONS). */
export type MongoTransaction = ClientSession | undefined

/** MongoDB as services see it. */
export interface MongoStore {
  /** @throws an Error with `statusCode` 503 while the server is away */
  collection: <T extends Document>(name: string) => Collection<T>
  /**
   * Runs `work` in a transaction; again, from its beginning, when others changed the same: it does nothing but read and write
   * through the transaction.
   * @throws an Error with `statusCode` 503 where the server has no transactions and they are required
   */
  transaction: <T>(work: (transaction: MongoTransaction) => Promise<T>) => Promise<T>
  /** For how long an operation may run on the server, in milliseconds. */
  maxTimeMS: number
}
