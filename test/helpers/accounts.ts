// Accounts of a started service, over HTTP.
import { randomUUID } from 'node:crypto'
import { createKeelClient, type Schema } from '../../client/index.ts'
import { call } from './process.ts'

/** The admin that the seed creates in development. */
export const developmentAdmin = { email: 'admin@example.com', password: 'keel-development' }

/** A new user, signed in. */
export async function signUp (url: string): Promise<{ email: string, password: string, token: string }> {
  const credentials = { email: `${randomUUID()}@example.com`, password: 'correct horse battery' }
  await call(`${url}/auth/register`, { body: { ...credentials, name: 'Ada' } })
  return { ...credentials, token: await logIn(url, credentials) }
}

export async function logIn (url: string, body: Schema<'Credentials'>): Promise<string> {
  const { data, response } = await createKeelClient(url).POST('/auth/login', { body })
  if (!data) throw new Error(`no login: ${response.status}`)
  return data.accessToken
}
