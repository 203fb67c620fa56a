import { randomUUID } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import { issuer } from '../../plugins/auth/issuer.ts'
import { developmentKey, loadKeys } from '../../plugins/auth/keys.ts'
import { ConfigError, loadConfig } from '../../plugins/config/index.ts'
import type { Role } from '../../prisma/generated/client.ts'
import { allScopes, scopesOf } from '../../services/scopes.ts'
import { ensureUser } from '../../services/users.ts'
import { CommandError, withDatabaseUrl } from '../database.ts'
import { withPrisma } from '../prisma.ts'
import { saidAsTheyAre, withQuery } from '../set-up-database.ts'
import { SetUpError } from '../set-up-error.ts'

/** undefined_table of PostgreSQL. */
const NO_TABLE = '42P01'
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
/** What is said by its message alone. */
const EXPECTED = [CommandError, ConfigError, SetUpError, ...saidAsTheyAre]

interface Options { email?: string, id?: string, role?: Role, scopes?: string[] }

/** `token`: an access token for development and tests. */
export const token = new Command('token')
  .description('print an access token for development, signed with the key of JWT_PRIVATE_KEY or DATA_DIR; without --email and --id for somebody who has no account')
  .addOption(new Option('--email <address>', 'of the account with this e-mail address; where there is none it is made, without a password').argParser(readEmail).conflicts('id'))
  .addOption(new Option('--id <uuid>', 'for this id, whether it has an account or not: the account is not looked at').argParser(readId))
  .addOption(new Option('--role <role>', 'with the scopes of this role; without it those of the account that --email names, or of a user').choices(['user', 'admin'] satisfies Role[]))
  .addOption(new Option('--scopes <scopes>', 'with these scopes, in one argument, and no others').argParser(readScopes).conflicts('role'))
  .action(async (options: Options) => {
    try {
      process.stdout.write(`${await tokenFor(options)}\n`)
    } catch (error) {
      if (!EXPECTED.some(kind => error instanceof kind)) throw error
      process.stderr.write(`${(error as Error).message.trimEnd()}\n`)
      process.exitCode = 1
    }
  })

/** @throws one of EXPECTED */
async function tokenFor ({ email, id = randomUUID(), role, scopes }: Options): Promise<string> {
  const { NODE_ENV, JWT_JWKS_URL, JWT_PRIVATE_KEY, DATA_DIR, JWT_ISSUER, JWT_AUDIENCE, ACCESS_TOKEN_TTL } = loadConfig()
  if (NODE_ENV === 'production') throw new CommandError('In production tokens are for those who sign in.')
  if (JWT_JWKS_URL !== undefined) throw new CommandError('The tokens that are taken are those of another issuer, JWT_JWKS_URL: get one from it.')
  const account = email === undefined ? { id, role: 'user' as const } : await accountOf(email, role ?? 'user')
  const tokens = issuer(loadKeys(JWT_PRIVATE_KEY ?? developmentKey(DATA_DIR)), { issuer: JWT_ISSUER, audience: JWT_AUDIENCE }, ACCESS_TOKEN_TTL)
  return tokens.issue({ id: account.id, scopes: scopes ?? scopesOf(role ?? account.role) }).accessToken
}

async function accountOf (email: string, role: Role): Promise<{ id: string, role: Role }> {
  return await withDatabaseUrl(async url => {
    // Says what Prisma would say with a stack.
    await withQuery(url, async query => await query('SELECT id FROM users LIMIT 1')).catch((error: SetUpError & { code?: string }) => {
      throw error.code === NO_TABLE ? new CommandError('The database has no tables yet: npm start, or npm run db:migrate, makes them.') : error
    })
    return await withPrisma(url, async prisma => await ensureUser(prisma, { email, role }))
  })
}

function readEmail (text: string): string {
  if (!/^[^@\s]+@[^@\s]+$/.test(text)) throw new InvalidArgumentError('Expected an e-mail address.')
  return text
}

function readId (text: string): string {
  if (!UUID.test(text)) throw new InvalidArgumentError('Expected a UUID.')
  return text.toLowerCase()
}

function readScopes (text: string): string[] {
  const scopes = text.split(/[\s,]+/).filter(scope => scope !== '')
  const unknown = scopes.filter(scope => !allScopes.some(known => known === scope))
  if (unknown.length > 0) throw new InvalidArgumentError(`No role has the scope ${unknown.join(', ')}. There are: ${allScopes.join(' ')}.`)
  return scopes
}
