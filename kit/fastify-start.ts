// What `fastify start` is told (it merges the exports of its --config module into its flags).
import { ConfigError, loadConfig, type Config } from '../plugins/config/index.ts'
import { ignoreForwardedSignals } from './signals.ts'

ignoreForwardedSignals()

const config = read()

export const address = config.HOST
export const port = config.PORT
/** Take the server options that app.ts exports. */
export const options = true
export const pluginTimeout = 60_000
/** A little longer than requests get to finish, so that closing the database fits in. */
export const closeGraceDelay = config.SHUTDOWN_GRACE_MS + 5_000
export const ignoreWatch = `.data .tap .cache coverage test bench generated migrations client docs ${config.DATA_DIR}`

function read (): Config {
  try {
    return loadConfig()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  }
}
