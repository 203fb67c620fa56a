/** An amount in integer minor units (cents) of an ISO 4217 currency. */
export interface Money { amount: number, currency: string }

/** The largest price of a product, in minor units: what its column holds. */
export const MAX_PRICE = 2_147_483_647

/** The largest total of an order, in minor units. */
export const MAX_TOTAL = 999_999_999_999
