import type { DomainCode } from '../services/errors.ts'

/**
 * The one table from domain errors to HTTP: status and title (RFC 9457) of each code, and
 * what its page under /problems says of when it happens and what to do.
 */
export const problems: Record<DomainCode, { status: number, title: string, description: string }> = {
  EMAIL_TAKEN: {
    status: 409,
    title: 'The e-mail address has an account already',
    description: 'Somebody has an account with this e-mail address, in whatever case. Use that one, or another address.'
  },
  INVALID_CREDENTIALS: {
    status: 401,
    title: 'E-mail or password is wrong',
    description: 'No account has this e-mail address with this password; which of the two is wrong is not said. Check both.'
  },
  INVALID_REFRESH_TOKEN: {
    status: 401,
    title: 'The refresh token is not valid',
    description: 'The refresh token is unknown, expired, spent or its session has ended. Sign in again.'
  },
  WRONG_PASSWORD: {
    status: 403,
    title: 'The current password is wrong',
    description: 'To change a password one must know it: the current one that was sent is not it. Nothing was changed.'
  },
  TOO_MANY_ATTEMPTS: {
    status: 429,
    title: 'Too many wrong passwords',
    description: 'There were too many wrong passwords for this e-mail address, whether it has an account or not. Wait as long as Retry-After says.'
  },
  TOO_BUSY: {
    status: 503,
    title: 'Too many passwords at once',
    description: 'More people are signing in, registering or changing passwords than the service can check passwords for. Nothing was changed. Wait for the seconds in Retry-After and send the request again.'
  },
  INVALID_TICKET: {
    status: 401,
    title: 'The ticket is not valid',
    description: 'The ticket is unknown, spent or expired: it opens one WebSocket, within seconds. Get another with POST /ws/tickets.'
  },
  NOT_FOUND: {
    status: 404,
    title: 'Not found',
    description: 'Nothing is at this path, or what was there is gone, or it belongs to somebody else. Check the path and the id.'
  },
  SKU_TAKEN: {
    status: 409,
    title: 'Another product has this SKU',
    description: 'A SKU belongs to one product. Choose another, or change the product that has it.'
  },
  PRODUCT_IN_USE: {
    status: 409,
    title: 'The product is part of an order',
    description: 'There is an order of the product, so it stays. Set its stock to 0 to end its sale.'
  },
  ACCOUNT_REQUIRED: {
    status: 403,
    title: 'Only for people with an account here',
    description: 'The access token is valid, but this service has no account for whom it names: it was issued elsewhere, or the account is gone. Nothing was changed. Where another issuer signs people in, PUT /users/me makes the account.'
  },
  UNKNOWN_PRODUCT: {
    status: 422,
    title: 'A product of the order does not exist',
    description: 'An id in the order names no product; `errors` says which. It may have been deleted: read the catalogue again.'
  },
  DUPLICATE_PRODUCT: {
    status: 400,
    title: 'A product is listed twice',
    description: 'An order names each product once; `errors` says which comes again. Add the quantities up.'
  },
  MIXED_CURRENCIES: {
    status: 422,
    title: 'The products have different currencies',
    description: 'An order has one currency, and its products have several. Place an order for each currency.'
  },
  TOTAL_TOO_LARGE: {
    status: 422,
    title: 'The total of the order is too large',
    description: 'The total is more than can be counted exactly. Order less at once.'
  },
  OUT_OF_STOCK: {
    status: 409,
    title: 'Not enough in stock',
    description: 'Fewer are in stock than the order asks for; `errors` names the product and how many there are. Nothing was ordered. Order fewer, or wait.'
  },
  INVALID_STATE: {
    status: 409,
    title: 'Not possible in this state',
    description: 'The order is not in a state that this step leads from: pending orders are paid, paid ones shipped, and what is not shipped may be cancelled. Read the order again.'
  },
  STALE_VERSION: {
    status: 412,
    title: 'The resource has changed',
    description: 'Somebody changed the resource after it was read, so If-Match does not match. Read it again and repeat the change on what it is now.'
  },
  VERSION_REQUIRED: {
    status: 428,
    title: 'If-Match is required',
    description: 'A change must say which version it is of, so that nobody\'s change is lost. Read the resource and send its ETag as If-Match.'
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
    description: 'The key came before with another request. A key stands for one request: make a new one, or send the first request unchanged.'
  },
  IDEMPOTENCY_IN_FLIGHT: {
    status: 409,
    title: 'The first request with this Idempotency-Key is still running',
    description: 'The first request with this key has not been answered yet. Wait a moment and send the same request again for its answer.'
  },
  // recipes: problems
  INVALID_CURSOR: {
    status: 400,
    title: 'The cursor is not valid',
    description: 'The cursor is not one that this list gave out for this sort order. Begin again without a cursor.'
  }
}
