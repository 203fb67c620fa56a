// Accounts of a started service, made in its database, and access tokens of theirs, signed with its key.
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { withDatabaseUrl } from '../../kit/database.ts'
import { withPrisma } from '../../kit/prisma.ts'
import { issuer } from '../../plugins/auth/issuer.ts'
import { developmentKey, loadKeys } from '../../plugins/auth/keys.ts'
import type { Role } from '../../prisma/generated/client.ts'
import { scopesOf } from '../../services/scopes.ts'
import type { Service } from './process.ts'

/** Longer than any test or bench. */
const LIFE_MS = 86_400_000

/** A new user, or a new admin, signed in. */
export async function signUp ({ folder, env }: Pick<Service, 'folder' | 'env'>, role: Role = 'user'): Promise<{ id: string, email: string, token: string }> {
  const DATA_DIR = resolve(folder, env.DATA_DIR ?? '.data')
  const email = `${randomUUID()}@example.com`
  const create = async (url: string) => await withPrisma(url, async prisma => await prisma.user.create({ data: { email, name: 'Ada', role }, select: { id: true } }))
  const { id } = await withDatabaseUrl(create, { ...env, DATA_DIR })
  const tokens = issuer(loadKeys(env.JWT_PRIVATE_KEY ?? developmentKey(DATA_DIR)), { issuer: 'keel', audience: 'keel' }, LIFE_MS)
  return { id, email, token: tokens.issue({ id, scopes: scopesOf(role) }).accessToken }
}
