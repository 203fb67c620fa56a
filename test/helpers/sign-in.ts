// Signing in to a started service, over HTTP.
import { createKeelClient, type Schema } from '../../client/index.ts'

/** The admin that the seed creates in development. */
export const developmentAdmin = { email: 'admin@example.com', password: 'keel-development' }

/** Signs in with a password. */
export async function logIn (url: string, body: Schema<'Credentials'>): Promise<Schema<'TokenPair'>> {
  const { data, response } = await createKeelClient(url).POST('/auth/login', { body })
  if (!data) throw new Error(`no login: ${response.status}`)
  return data
}
