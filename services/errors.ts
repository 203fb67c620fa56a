/**
 * What can go wrong in the domain. Each code is stable and part of the API;
 * `routes/problems.ts` says which HTTP status it becomes.
 */
export type DomainCode =
  | 'EMAIL_TAKEN'
  | 'INVALID_CREDENTIALS'
  | 'INVALID_REFRESH_TOKEN'
  | 'WRONG_PASSWORD'
  | 'TOO_MANY_ATTEMPTS'
  | 'TOO_BUSY'
  | 'INVALID_TICKET'
  | 'NOT_FOUND'
  | 'SKU_TAKEN'
  | 'PRODUCT_IN_USE'
  | 'ACCOUNT_REQUIRED'
  | 'UNKNOWN_PRODUCT'
  | 'DUPLICATE_PRODUCT'
  | 'MIXED_CURRENCIES'
  | 'TOTAL_TOO_LARGE'
  | 'OUT_OF_STOCK'
  | 'INVALID_STATE'
  | 'STALE_VERSION'
  | 'VERSION_REQUIRED'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'IDEMPOTENCY_IN_FLIGHT'
  // recipes: codes
  | 'INVALID_CURSOR'

/** A place in the caller's input, as a JSON pointer (RFC 6901) into it, and what is wrong there. */
export interface InputIssue { path: string, detail: string }

/** A rule of the domain was broken: the caller's doing, safe to tell the caller. */
export class DomainError extends Error {
  readonly code: DomainCode
  readonly issues: InputIssue[]
  /** Seconds after which the same may work. */
  readonly retryAfter: number | undefined

  /** @param message for people; may name what the caller sent, never what others own */
  constructor (code: DomainCode, message: string, issues: InputIssue[] = [], { retryAfter }: { retryAfter?: number } = {}) {
    super(message)
    this.name = 'DomainError'
    this.code = code
    this.issues = issues
    this.retryAfter = retryAfter
  }
}
