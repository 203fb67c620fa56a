import { type ConfigError, loadConfig } from '../../plugins/config/index.ts'
import { newPrivateKey } from './keys.ts'

/** What production needs. */
export const production = { NODE_ENV: 'production', DATABASE_URL: 'postgresql://db/app', JWT_PRIVATE_KEY: newPrivateKey() }

/** What is wrong with an environment, a line each. */
export function problemsOf (env: Record<string, string>): string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    return (error as ConfigError).problems
  }
}
