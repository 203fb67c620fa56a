/** A broker that is away or does not take messages now: events wait for it, in order, and are not set aside. */
export class BrokerAwayError extends Error {
  override name = 'BrokerAwayError'
  readonly statusCode = 503
}
