import { randomBytes } from 'node:crypto'
import type { PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction, isUniqueViolation } from './database.ts'
import { DomainError } from './errors.ts'
import { hashPassword } from './passwords.ts'
import { revokeTokens } from './refresh-tokens.ts'
import { normalizeEmail } from './users.ts'

/** Whom an issuer says that it is. A subject is never given to another (OpenID Connect Core, 2); an e-mail address may be. */
export interface Profile { issuer: string, subject: string, email: string | undefined, isEmailVerified: boolean, name: string | undefined }

/** `linksByEmail`: an account that has the verified e-mail address becomes theirs. `isAddress`: whether an account may have it. */
export interface IdentityPolicy { linksByEmail: boolean, isAddress: (email: string) => boolean }

const MAX_NAME = 100
const MAX_SUBJECT = 255
const ATTEMPTS = 3

/**
 * The account of whom an issuer names: the one that was theirs before, or a new one for a verified e-mail address. An account
 * that has the address already is theirs only with `linksByEmail`; then its password goes and its sessions end: whoever
 * registered it may not have been them.
 * @throws DomainError EMAIL_NOT_VERIFIED, ACCOUNT_EXISTS, SIGN_IN_FAILED, TOO_BUSY
 */
export async function accountOf (prisma: PrismaClient, profile: Profile, policy: IdentityPolicy, signal: AbortSignal): Promise<{ userId: string }> {
  const { subject } = profile
  // An empty one would be that of everybody of whom the issuer says no more.
  if (subject === '' || subject.length > MAX_SUBJECT || !isStorable(subject)) throw new DomainError('SIGN_IN_FAILED', 'The issuer names people in a way that cannot be stored.')
  for (let attempt = 1; ; attempt++) {
    try {
      return await found(prisma, profile) ?? await admitted(prisma, profile, policy, signal)
    } catch (error) {
      // Another sign-in of theirs, or a registration, was faster: look again.
      if (attempt === ATTEMPTS || !isUniqueViolation(error)) throw error
    }
  }
}

async function found (prisma: PrismaClient, { issuer, subject }: Profile): Promise<{ userId: string } | null> {
  return await prisma.identity.findUnique({ where: { issuer_subject: { issuer, subject } }, select: { userId: true } })
}

async function admitted (prisma: PrismaClient, profile: Profile, { linksByEmail, isAddress }: IdentityPolicy, signal: AbortSignal): Promise<{ userId: string }> {
  const { issuer, subject } = profile
  if (profile.email === undefined || !profile.isEmailVerified || !isAddress(profile.email)) {
    throw new DomainError('EMAIL_NOT_VERIFIED', 'The issuer does not vouch for an e-mail address that an account may have.')
  }
  const email = normalizeEmail(profile.email)
  const user = await prisma.user.findUnique({ where: { email }, select: { id: true, identities: { where: { issuer }, select: { subject: true } } } })
  // One whose address was theirs before at the same issuer is somebody else.
  if (user !== null && (!linksByEmail || user.identities.length > 0)) throw new DomainError('ACCOUNT_EXISTS', 'Another account has this e-mail address.')
  // Nobody's: it can't be known, and has the form of any.
  const passwordHash = await hashPassword(randomBytes(32).toString('base64url'), signal)
  return await inTransaction(prisma, async tx => {
    if (user === null) {
      const data = { email, name: nameOf(profile, email), passwordHash, identities: { create: { issuer, subject } } }
      return { userId: (await tx.user.create({ data, select: { id: true } })).id }
    }
    await tx.user.update({ where: { id: user.id }, data: { passwordHash }, select: { id: true } })
    await revokeTokens(tx, { userId: user.id })
    return await tx.identity.create({ data: { issuer, subject, userId: user.id }, select: { userId: true } })
  })
}

/** A line that has something in it, as names of accounts are. */
function nameOf ({ name = '' }: Profile, email: string): string {
  const line = (text: string) => [...text.toWellFormed().replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ').trim()].slice(0, MAX_NAME).join('').slice(0, MAX_NAME).toWellFormed().trim()
  return line(name) || line(email.split('@', 1)[0] ?? '') || 'User'
}

function isStorable (text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}
