import { DomainError } from '../../../services/errors.ts'

/**
 * Where a sign-in may end: a path of this service's origin, or a URL of one of `origins`. What browsers make of it is what
 * counts: `//evil.example`, `/\evil.example` and a tab in between are other origins. What is given back is what was checked.
 * @throws DomainError RETURN_NOT_ALLOWED
 */
export function returnUrl (text: string, own: URL, origins: readonly string[]): URL {
  const url = URL.parse(text, own)
  // A blob: has the origin of who made it.
  if (url === null || !/^https?:$/.test(url.protocol) || ![own.origin, ...origins].includes(url.origin) || url.username !== '' || url.password !== '' || url.hash !== '') {
    throw new DomainError('RETURN_NOT_ALLOWED', 'returnTo must be a path of this service, or a URL of one of its origins without a fragment.')
  }
  return url
}
