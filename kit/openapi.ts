// Writes openapi.json and asyncapi.json from the code: `npm run openapi`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { documents } from './openapi-document.ts'

const root = join(import.meta.dirname, '..')
for (const [name, text] of Object.entries(await documents())) {
  writeFileSync(join(root, `${name}.json`), text)
  process.stdout.write(`${name}.json is written\n`)
}
