// What prisma.config.ts and the kit's commands need of the settings. Runs in the CLI's process, on whatever Node.js started it.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'

type Environment = Record<string, string | undefined>

/** The environment, and `.env` of the current folder for what it lacks. */
export function readEnvironment (): Environment {
  let file: Environment = {}
  try {
    file = parseEnv(readFileSync(resolve('.env'), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new Error(`.env can't be read (${(error as NodeJS.ErrnoException).code})`)
  }
  return { ...file, ...process.env }
}

/** A secret: the variable NAME, or the file that NAME_FILE names. */
export function readSecret (env: Environment, name: string): string | undefined {
  const file = env[`${name}_FILE`]
  if (env[name] && file) throw new Error(`${name} is set twice: keep ${name} or ${name}_FILE`)
  if (!file) return env[name] || undefined
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch (error) {
    throw new Error(`${name}_FILE names a file that can't be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** The CLI's command without its options: `migrate dev`, `studio`. */
export function commandName (): string {
  const words = process.argv.slice(2)
  const end = words.findIndex((word) => word.startsWith('-'))
  return words.slice(0, end < 0 ? words.length : end).join(' ')
}
