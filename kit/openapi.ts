// Writes openapi.json and asyncapi.json from the code: `npm run openapi`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { asyncapiDocument, openapiDocument } from './openapi-document.ts'

const root = join(import.meta.dirname, '..')
writeFileSync(join(root, 'openapi.json'), await openapiDocument())
writeFileSync(join(root, 'asyncapi.json'), await asyncapiDocument())
