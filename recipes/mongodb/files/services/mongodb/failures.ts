import { MongoError, MongoServerError } from 'mongodb'

/** Another document has what is to be unique. `fields` are those of the index; the values are for the log alone. */
export class DuplicateError extends Error {
  override name = 'DuplicateError'
  /** How an error says that it is a conflict to whoever reports it, where no service makes more of it. */
  readonly statusCode = 409
  readonly fields: string[]

  constructor (error: MongoServerError) {
    super('The resource exists already.', { cause: error })
    this.fields = Object.keys((error.keyPattern ?? {}) as object)
  }
}

const DUPLICATE = 11_000
/** By their names: the server is not there, does not answer, or there is no connection to be had. */
const AWAY = /^Mongo(?:ServerSelection|Network|NetworkTimeout|PoolCleared|PoolClosed|WaitQueueTimeout|TopologyClosed|NotConnected|ClientClosed|ServerClosed)Error$/
/** By the server's codes: it steps down, stops, has no primary, refuses the credentials, did not do it in time; others were changing the same. */
const SERVER_AWAY = new Set([6, 7, 18, 24, 50, 89, 91, 112, 133, 134, 189, 202, 262, 384, 9001, 10_107, 11_600, 11_602, 13_435, 13_436])

/** Whether an error is of MongoDB and not of who asked: away, out of time, or in contention. */
function isMongoAway (error: unknown): boolean {
  if (!(error instanceof MongoError)) return false
  return AWAY.test(error.name) || SERVER_AWAY.has(Number(error.code)) || error.hasErrorLabel('TransientTransactionError')
}

/**
 * Runs something on MongoDB. What fails because of the surroundings gets `statusCode` 503, by which errors say so (docs/consumers.md); it
 * stays the driver's error, so that a transaction is still tried again.
 * @throws DuplicateError in place of the driver's, whose message has the values
 */
export async function guarded<T> (work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof MongoServerError && error.code === DUPLICATE) throw new DuplicateError(error)
    throw isMongoAway(error) ? Object.assign(error as Error, { statusCode: 503 }) : error
  }
}
