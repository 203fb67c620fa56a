// Asks the service of this container whether it lives: the HEALTHCHECK of the image.
// `health.ts ready` asks whether it can serve requests.
import { readEnvironment } from '../prisma/cli-config.ts'

const { PORT = '3000' } = readEnvironment()
const check = process.argv[2] ?? 'live'
try {
  const { status } = await fetch(`http://127.0.0.1:${PORT}/health/${check}`)
  process.exitCode = status === 200 ? 0 : 1
} catch {
  process.exitCode = 1
}
