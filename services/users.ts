import { Prisma, type PrismaClient, type Role } from '../prisma/generated/client.ts'
import { isUniqueViolation, type Database } from './database.ts'
import { changeUser } from './dialect.ts'
import { DomainError } from './errors.ts'
import { keyset, type Page, type PageQuery } from './pagination.ts'
import { hashPassword } from './passwords.ts'

/** An account, as its owner and the admins see it. */
export interface User { id: string, email: string, name: string, role: Role, createdAt: Date }

const visible = { id: true, email: true, name: true, role: true, createdAt: true } as const satisfies Prisma.UserSelect

const order = keyset('users', {
  createdAt: { column: 'created_at', kind: 'time', value: (user: User) => user.createdAt },
  email: { column: 'email', kind: 'text', value: user => user.email },
  name: { column: 'name', kind: 'text', value: user => user.name }
})

/** What GET /users may be sorted by. */
export const userSorts = order.sorts
type UserSort = typeof userSorts[number]

/** The one spelling of an e-mail address that is stored and looked up. */
export function normalizeEmail (email: string): string {
  return email.normalize('NFC').toLowerCase()
}

/**
 * Creates an account with the role user. `signal` aborts when nobody waits for it any more.
 * @throws DomainError EMAIL_TAKEN, TOO_BUSY
 */
export async function register (db: Database, { email, password, name, signal }: { email: string, password: string, name: string, signal?: AbortSignal }): Promise<User> {
  const passwordHash = await hashPassword(password, signal)
  try {
    return await db.user.create({ data: { email: normalizeEmail(email), name, passwordHash }, select: visible })
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new DomainError('EMAIL_TAKEN', 'Another account has this e-mail address.', [{ path: '/email', detail: 'has an account already' }])
  }
}

/** @throws DomainError NOT_FOUND */
export async function findUser (db: Database, id: string): Promise<User> {
  const user = await db.user.findUnique({ where: { id }, select: visible })
  if (user === null) throw notFound()
  return user
}

/**
 * Changes what is given of an account and leaves the rest.
 * @throws DomainError NOT_FOUND
 */
export async function updateUser (db: Database, id: string, { name }: { name?: string }): Promise<User> {
  const user = await changeUser(db, id, { name }, visible)
  if (user === undefined) throw notFound()
  return user
}

/**
 * The accounts, optionally the one with an e-mail address; oldest first unless sorted.
 * @throws DomainError INVALID_CURSOR
 */
export async function listUsers (db: Database, query: PageQuery<UserSort> & { email?: string }): Promise<Page<User>> {
  const { sort = 'createdAt', email } = query
  const { after, by, take } = order.seek(sort, query)
  const filter = email === undefined ? Prisma.sql`TRUE` : Prisma.sql`email = ${normalizeEmail(email)}`
  const users = await db.$queryRaw<User[]>`
    SELECT id, email, name, role, created_at AS "createdAt" FROM users
    WHERE ${filter} AND ${after} ORDER BY ${by} LIMIT ${take}`
  return order.page(users, sort, query)
}

/**
 * Makes sure that there is an account of an admin. One that has the e-mail
 * address already is left as it is. Says whether it was created.
 */
export async function ensureAdmin (prisma: PrismaClient, { email, password }: { email: string, password: string }): Promise<boolean> {
  if (await prisma.user.findUnique({ where: { email: normalizeEmail(email) }, select: { id: true } })) return false
  const passwordHash = await hashPassword(password)
  const { count } = await prisma.user.createMany({
    data: [{ email: normalizeEmail(email), name: 'Admin', role: 'admin', passwordHash }],
    skipDuplicates: true
  })
  return count === 1
}

function notFound (): DomainError {
  return new DomainError('NOT_FOUND', 'There is no such user.')
}
