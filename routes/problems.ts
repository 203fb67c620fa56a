import type { DomainCode } from '../services/errors.ts'

/** The one table from domain errors to HTTP: status and title (RFC 9457) of each code. */
export const problems: Record<DomainCode, { status: number, title: string }> = {
  EMAIL_TAKEN: { status: 409, title: 'The e-mail address has an account already' },
  INVALID_CREDENTIALS: { status: 401, title: 'E-mail or password is wrong' },
  INVALID_REFRESH_TOKEN: { status: 401, title: 'The refresh token is not valid' },
  WRONG_PASSWORD: { status: 403, title: 'The current password is wrong' },
  TOO_MANY_ATTEMPTS: { status: 429, title: 'Too many wrong passwords' },
  NOT_FOUND: { status: 404, title: 'Not found' },
  SKU_TAKEN: { status: 409, title: 'Another product has this SKU' },
  PRODUCT_IN_USE: { status: 409, title: 'The product is part of an order' },
  UNKNOWN_PRODUCT: { status: 422, title: 'A product of the order does not exist' },
  DUPLICATE_PRODUCT: { status: 400, title: 'A product is listed twice' },
  MIXED_CURRENCIES: { status: 422, title: 'The products have different currencies' },
  TOTAL_TOO_LARGE: { status: 422, title: 'The total of the order is too large' },
  OUT_OF_STOCK: { status: 409, title: 'Not enough in stock' },
  INVALID_STATE: { status: 409, title: 'Not possible in this state' },
  STALE_VERSION: { status: 412, title: 'The resource has changed' },
  VERSION_REQUIRED: { status: 428, title: 'If-Match is required' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, title: 'The Idempotency-Key was used for another request' },
  IDEMPOTENCY_IN_FLIGHT: { status: 409, title: 'The first request with this Idempotency-Key is still running' },
  INVALID_CURSOR: { status: 400, title: 'The cursor is not valid' }
}
