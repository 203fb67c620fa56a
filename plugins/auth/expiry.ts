import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Refuses what would outlast its token at once: the guard takes a token for some seconds more, a
 * stream or connection of so few would only come again.
 * @returns whether it has answered
 */
export function refuseExpired ({ user }: FastifyRequest, reply: FastifyReply): boolean {
  if (user.expiresAt > Date.now()) return false
  reply.header('www-authenticate', 'Bearer error="invalid_token"').problem(401, 'The access token has expired.')
  return true
}
