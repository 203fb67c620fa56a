import type { Static, TSchema } from 'typebox'

/** Calls other services. */
export interface HttpClient {
  /** @throws an Error that has `status` where the other service answered, but not with 2xx */
  request: <Schema extends TSchema>(call: { url: string | URL, schema: Schema }) => Promise<{ status: number, body: Static<Schema> }>
}
