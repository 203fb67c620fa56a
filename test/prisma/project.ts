// A copy of what the Prisma CLI and prisma/migrate.ts need, to be changed at will.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import type { Test } from 'tap'
import { alone } from '../helpers/process.ts'

const root = join(import.meta.dirname, '../..')

export interface Result { code: number | null, stdout: string, stderr: string }

/** A folder that is removed after the test; short, because a Unix socket's path has to be. */
export function folder (t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'keel-t-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }))
  return path
}

/** A copy of the Prisma side of the project. */
export class Project {
  readonly path: string
  readonly #env: Record<string, string>

  constructor (t: Test, env: Record<string, string> = {}) {
    this.path = folder(t)
    for (const name of ['schema.prisma', 'migrations', 'engine', 'cli-config.ts', 'migrate.ts']) cpSync(join(root, 'prisma', name), join(this.path, 'prisma', name), { recursive: true })
    for (const name of ['prisma.config.ts', 'package.json']) cpSync(join(root, name), join(this.path, name))
    symlinkSync(join(root, 'node_modules'), join(this.path, 'node_modules'))
    this.#env = env
  }

  get dataDir (): string {
    return join(this.path, '.data')
  }

  migration (name: string, sql: string): void {
    mkdirSync(join(this.path, 'prisma/migrations', name))
    writeFileSync(join(this.path, 'prisma/migrations', name, 'migration.sql'), sql)
  }

  /** prisma/migrate.ts of this copy. */
  async migrate (): Promise<typeof import('../../prisma/migrate.ts')> {
    return await import(pathToFileURL(join(this.path, 'prisma/migrate.ts')).href) as typeof import('../../prisma/migrate.ts')
  }

  /** Runs `prisma …` without a terminal. */
  async prisma (...words: string[]): Promise<Result> {
    return await finished(this.start(...words))
  }

  start (...words: string[]) {
    const { PATH, HOME, TMPDIR } = process.env
    const env = { PATH, HOME, TMPDIR, NO_COLOR: '1', CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1', BROWSER: 'none', ...this.#env }
    return spawn(...alone(process.execPath, [join(root, 'node_modules/prisma/build/index.js'), ...words], env), { cwd: this.path, stdio: ['ignore', 'pipe', 'pipe'] })
  }
}

// Nothing may be downloaded: the host that would have the engines doesn't exist.
export const OFFLINE = { PRISMA_ENGINES_MIRROR: 'http://127.0.0.1:1', PRISMA_SCHEMA_ENGINE_BINARY: '' }

/** Adds a field to User. */
export function change (project: Project, field: string): void {
  const file = join(project.path, 'prisma/schema.prisma')
  writeFileSync(file, readFileSync(file, 'utf8').replace('model User {', `model User {\n  ${field}`))
}

export function clientKnows (project: Project, field: string): boolean {
  const file = join(project.path, 'prisma/generated/models/User.ts')
  return existsSync(file) && readFileSync(file, 'utf8').includes(field)
}

/** What a process wrote, when it has ended. */
export async function finished (child: ReturnType<typeof spawn>): Promise<Result> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', chunk => { stdout += String(chunk) })
  child.stderr?.on('data', chunk => { stderr += String(chunk) })
  const [code] = await once(child, 'close') as [number | null]
  return { code, stdout, stderr }
}

/** A connected client that ends with the test. */
export async function client (t: Test, url: string): Promise<pg.Client> {
  const made = new pg.Client({ connectionString: url })
  made.on('error', () => {})
  await made.connect()
  t.teardown(() => made.end().catch(() => {}))
  return made
}

/** The rows of one statement on a connection of its own. */
export async function rows (url: string, sql: string): Promise<Record<string, unknown>[]> {
  const made = new pg.Client({ connectionString: url })
  await made.connect()
  try {
    return (await made.query<Record<string, unknown>>(sql)).rows
  } finally {
    await made.end()
  }
}

/** On the server of TEST_DATABASE_URL: a role that may not create databases, and a database of its own. */
export async function plainDatabase (t: Test, server: string): Promise<string> {
  const name = `keel_test_${process.pid}_${Date.now()}`
  const url = new URL(server)
  await rows(server, `CREATE ROLE ${name} LOGIN NOCREATEDB PASSWORD 'keel'`)
  await rows(server, `CREATE DATABASE ${name} OWNER ${name}`)
  t.teardown(async () => {
    await rows(server, `DROP DATABASE ${name} WITH (FORCE)`)
    await rows(server, `DROP ROLE ${name}`)
  })
  url.username = name
  url.password = 'keel'
  url.pathname = `/${name}`
  return url.href
}
