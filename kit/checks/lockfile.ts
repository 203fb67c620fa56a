// The lock files: every package from the registry that npm is set to, by its SHA-512.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tool, type Check } from './check.ts'

interface Package { version?: string, resolved?: string, integrity?: string, link?: boolean, inBundle?: boolean }
interface Lint {
  ParseLockfile: new (options: { lockfilePath: string, lockfileType: string }) => { parseSync: () => { object: object } }
  ValidateIntegrity: new (options: { packages: object }) => { validate: () => { errors: { message: string }[] } }
}

async function problems (text: string): Promise<string[]> {
  const { packages } = JSON.parse(text) as { packages: Record<string, Package> }
  const own = Object.entries(packages).filter(([path]) => path !== '').flatMap(([path, { resolved, integrity, link, inBundle }]) => [
    ...resolved === undefined ? [] : [`${path} is tied to ${resolved}: .npmrc leaves the address out of lock files`],
    ...link ? [`${path} is a link`] : [],
    ...integrity === undefined && !inBundle ? [`${path} has no checksum`] : []
  ])
  return [...own, ...lint(text)]
}

function lint (text: string): string[] {
  const { ParseLockfile, ValidateIntegrity } = tool<Lint>('lockfile-lint-api')
  const folder = mkdtempSync(join(tmpdir(), 'keel-lint-'))
  try {
    const lockfilePath = join(folder, 'package-lock.json')
    writeFileSync(lockfilePath, text)
    const { object } = new ParseLockfile({ lockfilePath, lockfileType: 'npm' }).parseSync()
    return new ValidateIntegrity({ packages: object }).validate().errors.map(({ message }) => message)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export default {
  name: 'lock files',
  files: ['package-lock.json', 'kit/checks/package-lock.json', 'kit/openapi-lint/package-lock.json'],
  problems,
  refused: [{
    text: JSON.stringify({
      lockfileVersion: 3,
      packages: {
        '': {},
        'node_modules/elsewhere': { version: '1.0.0', resolved: 'git+ssh://git@example.com/x.git', integrity: 'sha512-x' },
        'node_modules/unchecked': { version: '1.0.0' },
        'node_modules/weak': { version: '1.0.0', integrity: 'sha1-x' }
      }
    }),
    says: [/elsewhere is tied/, /unchecked has no checksum/, /weak/]
  }]
} satisfies Check
