// Writes the types of the client from openapi.json: `npm run client`; a test fails when they are out of date.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clientTypes } from './client-types.ts'

const root = join(import.meta.dirname, '..')

writeFileSync(join(root, 'client/schema.d.ts'), await clientTypes(readFileSync(join(root, 'openapi.json'), 'utf8')))
process.stdout.write('client/schema.d.ts is written\n')
