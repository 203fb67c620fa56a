// The lines of test/operations.ts that are about passwords and sessions.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { hashPassword } from '../services/passwords.ts'
import { bearer } from './helpers/app.ts'
import { PASSWORD } from './helpers/passwords.ts'
import { everyone, signedIn, type Line } from './operations.ts'

interface Account { id: string, email: string }

/** They all get the same password. */
export async function signInOperations (app: FastifyInstance, { owner, other, admin }: Record<'owner' | 'other' | 'admin', Account>): Promise<Record<string, Line>> {
  const credentials = { email: owner.email, password: PASSWORD }
  const passwordHash = await hashPassword(PASSWORD)
  await app.prisma.user.updateMany({ where: { id: { in: [owner, other, admin].map(({ id }) => id) } }, data: { passwordHash } })

  const logIn = async () => (await app.inject({ method: 'POST', url: '/auth/login', payload: credentials })).json() as { accessToken: string, refreshToken: string }
  const session = async () => ({ refreshToken: (await logIn()).refreshToken })
  /** The newest session of the owner, begun for the occasion. */
  const ownSession = async () => {
    const { items } = (await app.inject({ url: '/users/me/sessions', headers: bearer((await logIn()).accessToken) })).json() as { items: { id: string, current: boolean }[] }
    return items.find(({ current }) => current)?.id ?? ''
  }
  return {
    'GET /.well-known/jwks.json': { answers: everyone(200) },
    'POST /auth/register': { answers: everyone(201), payload: () => ({ ...credentials, email: `${randomUUID()}@example.com`, name: 'New' }) },
    'POST /auth/login': { answers: everyone(200), payload: () => credentials },
    'POST /auth/refresh': { answers: everyone(200), payload: session },
    'POST /auth/logout': { answers: everyone(204), payload: session },
    'GET /users/me/sessions': { answers: signedIn(200) },
    'DELETE /users/me/sessions/:id': { answers: [401, 401, 404, 204, 404], id: ownSession },
    'PUT /users/me/password': { answers: signedIn(204), payload: () => ({ currentPassword: PASSWORD, newPassword: PASSWORD }) }
  }
}
