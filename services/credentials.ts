import type { PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction } from './database.ts'
import { DomainError } from './errors.ts'
import { throttled, type ThrottlePolicy } from './login-throttle.ts'
import { hashPassword, verifyPassword } from './passwords.ts'
import { revokeTokens } from './refresh-tokens.ts'

/** Who changes a password, from which address, to what; `signal` aborts when they are gone. */
export interface PasswordChange { userId: string, client: string, currentPassword: string, newPassword: string, signal?: AbortSignal }

/**
 * Changes a password and ends all sessions of its user. Whoever holds an access token
 * alone can't: guesses at the current password count as they do at sign-in.
 * @throws DomainError NOT_FOUND, WRONG_PASSWORD, TOO_MANY_ATTEMPTS, TOO_BUSY
 */
export async function changePassword (prisma: PrismaClient, { userId, client, currentPassword, newPassword, signal }: PasswordChange, policy: ThrottlePolicy): Promise<void> {
  const user = await prisma.user.findUnique({ where: { id: userId }, select: { email: true, passwordHash: true } })
  if (user === null) throw new DomainError('NOT_FOUND', 'There is no such user.')
  const { email, passwordHash } = user
  if (!await throttled(prisma, { email, client }, policy, () => verifyPassword(currentPassword, passwordHash ?? undefined, signal))) throw wrong()
  const next = await hashPassword(newPassword, signal)
  const isChanged = await inTransaction(prisma, async tx => {
    const { count } = await tx.user.updateMany({ where: { id: userId, passwordHash }, data: { passwordHash: next } })
    if (count > 0) await revokeTokens(tx, { userId })
    return count > 0
  })
  // Changed by another request meanwhile: that one's sessions are not ours to end.
  if (!isChanged) throw wrong()
}

function wrong (): DomainError {
  return new DomainError('WRONG_PASSWORD', 'The current password is wrong.', [{ path: '/currentPassword', detail: 'is not the password of the account' }])
}
