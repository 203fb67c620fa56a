import { timingSafeEqual } from 'node:crypto'

/** Whether an Authorization header carries this bearer token; without a token nobody does. */
export function holdsToken (authorization: string | undefined, token: string | undefined): boolean {
  const given = Buffer.from(authorization ?? '')
  const expected = Buffer.from(`Bearer ${token}`)
  return token !== undefined && given.length === expected.length && timingSafeEqual(given, expected)
}
