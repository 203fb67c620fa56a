import createClient, { type Client, type ClientOptions } from 'openapi-fetch'
import type { components, paths } from './schema.d.ts'

/** A body of the API by its name: `Schema<'Product'>`. */
export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name]

export type KeelClient = Client<paths>

export interface KeelClientOptions extends Pick<ClientOptions, 'fetch' | 'headers'> {
  /** The access token to send, or what gives the current one. */
  token?: string | (() => string | undefined | Promise<string | undefined>)
}

/**
 * A client that knows every path, parameter, body and answer of openapi.json:
 * `const { data, error, response } = await client.GET('/products/{id}', { params: { path: { id } } })`.
 * `error` is the problem that the service reported.
 */
export function createKeelClient (baseUrl: string, { token, ...options }: KeelClientOptions = {}): KeelClient {
  const client = createClient<paths>({ ...options, baseUrl })
  client.use({
    async onRequest ({ request }) {
      const current = typeof token === 'function' ? await token() : token
      if (current !== undefined && !request.headers.has('authorization')) request.headers.set('authorization', `Bearer ${current}`)
      return request
    }
  })
  return client
}
