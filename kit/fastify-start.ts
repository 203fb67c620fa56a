// What `fastify start` is told (it merges the exports of its --config module into its flags).
import { resolve } from 'node:path'
import { ConfigError, loadConfig, type Config } from '../plugins/config/index.ts'
import { heedParent } from './signals.ts'

heedParent()

const config = read()

export const address = config.HOST
export const port = config.PORT
/** Take the server options that app.ts exports. */
export const options = true
/** plugins/shutdown.ts ends it before; a little longer, so that closing the database fits in. */
export const closeGraceDelay = config.SHUTDOWN_DELAY_MS + config.SHUTDOWN_GRACE_MS + 5_000
export const ignoreWatch = exactly('.data', '.tap', 'coverage', 'test', 'bench', 'client', 'docs', 'prisma/generated', 'prisma/migrations', 'sbom.cdx.json', config.DATA_DIR)

/**
 * Folders for fastify-cli, which makes one pattern of them that it looks for anywhere in a path: bare names
 * would also ignore routes/clients/, and everything in a checkout below a folder named test.
 */
function exactly (...folders: string[]): string {
  return `^(?:${folders.map(folder => RegExp.escape(resolve(folder))).join('|')})(?:/|$)`
}

function read (): Config {
  try {
    return loadConfig()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}
