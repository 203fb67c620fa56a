/** MongoDB is away, or not set up: no fault of who asked. By its `statusCode` the problem is 503, and consumers wait. */
export class MongoAwayError extends Error {
  override name = 'MongoAwayError'
  readonly statusCode = 503
}
