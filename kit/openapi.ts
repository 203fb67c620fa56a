// Writes openapi.json from the code: `npm run openapi`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openapiDocument } from './openapi-document.ts'

writeFileSync(join(import.meta.dirname, '../openapi.json'), await openapiDocument())
