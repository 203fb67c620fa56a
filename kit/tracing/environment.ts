import { readEnvironment } from '../../prisma/cli-config.ts'

/** The SDK reads its settings (OTEL_*) from the environment alone; the service's own may also be in `.env`. */
export function loadEnvironment (): void {
  for (const [name, value] of Object.entries(readEnvironment())) {
    if (name.startsWith('OTEL_') && value !== undefined) process.env[name] ??= value
  }
}
