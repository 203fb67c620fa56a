// The engine's `cli` subcommands: the CLI runs them before it migrates.
import { prepareDataDir } from './data-dir.ts'
import { DATA_DIR_VARIABLE, explainTarget, link } from './target.ts'
import type { Target } from './target.ts'

const MAINTENANCE = ['postgres', 'template1']

/** Runs a subcommand. Reports on stderr as the CLI expects. @returns the exit code */
export async function runCommand (name: string, target: Target): Promise<number> {
  // The CLI skips the first line and reads each other one as JSON.
  process.stderr.write(logLine('INFO', { message: 'Starting schema engine CLI' }))
  try {
    if (target.embedded) prepareDataDir(process.env[DATA_DIR_VARIABLE] ?? '')
    else if (name === 'can-connect-to-database') await (await target.connect()).end()
    else if (name === 'create-database') await createDatabase(target.url)
    else throw new Error(`This schema engine has no command ${name}.`)
    return 0
  } catch (error) {
    const { code, message } = explainTarget(error, target)
    process.stderr.write(`\n${logLine('ERROR', { message, error_code: code, is_panic: false })}`)
    return 1
  }
}

async function createDatabase (url: string): Promise<void> {
  const name = decodeURIComponent(new URL(url).pathname.slice(1))
  for (const database of MAINTENANCE) {
    const maintenance = new URL(url)
    maintenance.pathname = `/${database}`
    maintenance.searchParams.delete('schema')
    try {
      const { client, end } = await link(maintenance.href)
      try {
        await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`)
      } finally {
        await end()
      }
      return
    } catch (error) {
      if ((error as { code?: string }).code !== '3D000' || database === MAINTENANCE.at(-1)) throw error
    }
  }
}

function logLine (level: string, fields: object): string {
  return JSON.stringify({ timestamp: new Date().toISOString(), level, fields, target: 'schema_engine::logger' })
}
