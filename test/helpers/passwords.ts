// People who sign in with a password, as clients do.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Role } from '../../prisma/generated/client.ts'

/** That of everybody here. */
export const PASSWORD = 'correct horse battery'

/** A new user, or a new admin, who has registered and signed in. */
export async function withPassword (fastify: FastifyInstance, role: Role = 'user'): Promise<{ id: string, email: string, password: string, token: string, refreshToken: string }> {
  const email = `${randomUUID()}@example.com`
  const { id } = (await fastify.inject({ method: 'POST', url: '/auth/register', payload: { email, password: PASSWORD, name: 'Test' } })).json() as { id: string }
  if (role !== 'user') await fastify.prisma.user.update({ where: { id }, data: { role } })
  const { accessToken, refreshToken } = (await fastify.inject({ method: 'POST', url: '/auth/login', payload: { email, password: PASSWORD } })).json() as Record<'accessToken' | 'refreshToken', string>
  return { id, email, password: PASSWORD, token: accessToken, refreshToken }
}
