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
    throw isUniqueViolation(error) ? emailTaken() : error
  }
}

/**
 * Makes the account of somebody whom another issuer signs in, or changes it: by the id that their tokens have. It has
 * no password, and nobody has checked that the e-mail address is theirs.
 * @returns it, and whether it is new
 * @throws DomainError EMAIL_TAKEN
 */
export async function putUser (prisma: PrismaClient, id: string, { email, name }: { email: string, name: string }): Promise<{ user: User, isNew: boolean }> {
  const data = { email: normalizeEmail(email), name }
  const change = async () => await changeUser(prisma, id, data, visible)
  try {
    const changed = await change()
    if (changed !== undefined) return { user: changed, isNew: false }
    try {
      return { user: await prisma.user.create({ data: { id, ...data }, select: visible }), isNew: true }
    } catch (error) {
      // Either the address is taken, or the account was made meanwhile.
      const made = isUniqueViolation(error) ? await change() : undefined
      if (made === undefined) throw error
      return { user: made, isNew: false }
    }
  } catch (error) {
    throw isUniqueViolation(error) ? emailTaken() : error
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

/** The account with an e-mail address; where there is none it is made, with this role and without a password. */
export async function ensureUser (db: Database, { email, role }: { email: string, role: Role }): Promise<User> {
  const address = normalizeEmail(email)
  return await db.user.upsert({ where: { email: address }, create: { email: address, name: address, role }, update: {}, select: visible })
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

function emailTaken (): DomainError {
  return new DomainError('EMAIL_TAKEN', 'Another account has this e-mail address.', [{ path: '/email', detail: 'has an account already' }])
}

function notFound (): DomainError {
  return new DomainError('NOT_FOUND', 'There is no such user.')
}
