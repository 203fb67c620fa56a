// What is made of the GraphQL schema: `schema` writes schema.graphql, `persist` writes the persisted queries.
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { printSchemaWithDirectives } from '@graphql-tools/utils'
import { lexicographicSortSchema } from 'graphql'
import { directives } from '../plugins/graphql/directives.ts'
import { schemaOf } from '../routes/graphql/schema.ts'

const root = join(import.meta.dirname, '..')
const operations = join(root, 'routes/graphql/operations')

/** The files that are made, with their texts. */
export const made: Record<string, () => string> = {
  'schema.graphql': () => `# Made by \`npm run graphql:schema\`.\n\n${printSchemaWithDirectives(lexicographicSortSchema(schemaOf(directives)))}\n`,
  'routes/graphql/persisted.json': () => {
    const texts = readdirSync(operations).filter(name => name.endsWith('.graphql')).sort().map(name => readFileSync(join(operations, name), 'utf8').trim())
    return `${JSON.stringify(Object.fromEntries(texts.map(text => [createHash('sha256').update(text).digest('hex'), text])), null, 2)}\n`
  }
}

/** Which command makes which file. */
const commands: Record<string, string> = { schema: 'schema.graphql', persist: 'routes/graphql/persisted.json' }

if (import.meta.main) {
  const [command = ''] = process.argv.slice(2)
  const path = commands[command]
  const text = path === undefined ? undefined : made[path]?.()
  if (path === undefined || text === undefined) throw new Error(`node kit/graphql.ts ${Object.keys(commands).join(' | ')}`)
  writeFileSync(join(root, path), text)
}
