import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { ConfigSchema, type Config, type ConfigKey } from './schema.ts'
import { readers, type Setting } from './values.ts'

/** The environment is not usable. `problems` has a line each; the message has them all. */
export class ConfigError extends Error {
  readonly problems: string[]

  constructor (problems: string[]) {
    super(`The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map(line => `  - ${line}\n`).join('')}`)
    this.name = 'ConfigError'
    this.problems = problems
    // Whoever prints it prints what the operator needs, not where Keel noticed.
    this.stack = this.message
  }
}

type Environment = Record<string, string | undefined>
type Property = Setting & { kind: string, description: string } & Record<string, unknown>

/** Kinds whose URLs are http:// in development at the most. */
const SECURE = new Set(['keysUrl', 'secureUrlList'])

/** The settings with what each says of itself, in the order of the schema. */
export const settings = Object.entries(ConfigSchema.properties) as unknown as [ConfigKey, Property][]

/**
 * Reads the settings of `env` (by default the environment, then `.env` for what it lacks).
 * Throws a ConfigError that lists all problems; values of secrets are not in it.
 */
export function loadConfig (env: Environment = { ...dotEnv(), ...process.env }): Config {
  const problems: string[] = []
  const production = env.NODE_ENV === 'production'
  const values: Record<string, unknown> = {}
  for (const [name, property] of settings) {
    try {
      const text = source(env, name, property, production)
      if (text !== undefined) values[name] = read(text, property)
      else if (production && property.required === 'production' && !replaced(env, property)) throw new Error(missing(name, property))
      if (production && property.secret && text && text === String(property.default)) throw new Error('is the default of development, which everyone knows: choose another for production')
      if (text !== undefined && replaced(env, property)) throw new Error(`is set beside ${property.unless}: keep one of them`)
      const { needs } = property
      if (text && needs !== undefined && !env[needs] && !env[`${needs}_FILE`]) throw new Error(`needs ${needs}, which is not set`)
      if (production && SECURE.has(property.kind) && /(^|,)\s*http:/.test(text ?? '')) throw new Error('expected https:// in production')
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return values as Config
}

/** Whether the setting that takes this one's place is set. */
function replaced (env: Environment, { unless }: Property): boolean {
  return unless !== undefined && Boolean(env[unless])
}

/** What to set, in every way there is. Of the description, what it is; behind a semicolon is what holds without it. */
function missing (name: string, { description, secret, unless }: Property): string {
  const ways = [...secret ? [`${name}_FILE (a file that holds it)`] : [], ...unless === undefined ? [] : [`${unless} in its place`]]
  return `must be set in production${ways.map(way => `, or ${way}`).join('')}. It is: ${description.split(';')[0]}`
}

function read (text: string, property: Property): unknown {
  const reader = readers[property.kind]
  if (!reader) throw new Error(`has no reader for its kind "${property.kind}"`)
  try {
    return reader(text, property)
  } catch (error) {
    const shown = property.secret || text.length > 80 ? '' : `, got "${text}"`
    throw new Error(`${(error as Error).message}${shown}`)
  }
}

/** The text of a setting: the variable, the file that NAME_FILE names (secrets), or the default. */
function source (env: Environment, name: string, property: Property, production: boolean): string | undefined {
  const fallback = production && property.production !== undefined ? property.production : property.default
  const text = env[name]
  const file = property.secret ? env[`${name}_FILE`] : undefined
  if (text && file) throw new Error(`is set twice: keep ${name} or ${name}_FILE`)
  if (file) return secretFile(`${name}_FILE`, file)
  if (text) return text
  // An empty value unsets what is optional; over a default it is a mistake, not a wish for the default.
  if (text === '' && fallback !== undefined && fallback !== null && fallback !== '') throw new Error('is empty: give it a value or unset it')
  return fallback === undefined || fallback === null ? undefined : String(fallback)
}

function secretFile (name: string, path: string): string {
  let text
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new Error(`${name} names a file that cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  if (text === '') throw new Error(`${name} names an empty file`)
  return text
}

function dotEnv (): Environment {
  try {
    return parseEnv(readFileSync(resolve('.env'), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new ConfigError([`.env: cannot be read (${(error as NodeJS.ErrnoException).code})`])
  }
}
