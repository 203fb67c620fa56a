import { Type } from 'typebox'
import { DomainError } from './errors.ts'
import type { HttpClient } from './http.ts'

const CURRENCY = /^[A-Z]{3}$/

/** What is taken from the answer; what else is in it is nothing to us. */
const Rate = Type.Object({
  base: Type.String(),
  quote: Type.String(),
  rate: Type.Number({ exclusiveMinimum: 0 })
})

/**
 * How much of `quote` one of `base` is worth (both ISO 4217), as a service of exchange rates says. Every call
 * asks it anew. It is the worked example of docs/outgoing.md.
 * @param url of the service, ending in a slash
 * @throws DomainError NOT_FOUND for a pair that it does not know; what keeps it from answering, as the client throws it
 */
export async function exchangeRate (http: HttpClient, url: string, base: string, quote: string): Promise<number> {
  // Also keeps what is not a part of a path, such as `..`, out of it.
  if (![base, quote].every(currency => CURRENCY.test(currency))) throw unknownPair()
  try {
    const { body } = await http.request({ url: new URL(`rates/${base}/${quote}`, url), schema: Rate })
    if (body.base !== base || body.quote !== quote) throw new Error('The service of exchange rates answered for another pair than was asked for.')
    return body.rate
  } catch (error) {
    if (error instanceof Error && 'status' in error && error.status === 404) throw unknownPair()
    throw error
  }
}

function unknownPair (): DomainError {
  return new DomainError('NOT_FOUND', 'There is no rate of these currencies.')
}
