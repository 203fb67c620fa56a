// Serves the embedded database of the folder in the first argument until stdin
// ends. Says its URL, or why it can't, in one line.
import { borrowEmbedded } from './embedded.ts'
import { STUDIO_TITLE } from './owner.ts'

process.env.KEEL_OWNER_TITLE = STUDIO_TITLE
process.on('SIGTERM', () => {}).on('SIGINT', () => {}).on('SIGHUP', () => {})
try {
  const database = await borrowEmbedded(process.argv[2] ?? '')
  console.log(database.url)
  process.stdin.on('end', () => { void database.close() }).resume()
} catch (error) {
  console.log(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
