// renovate.json against the schema that Renovate ships. Its package has 300 dependencies, so only
// its archive is fetched, once.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import type { Check } from './check.ts'

const VERSION = '44.121.2'
const folder = join(import.meta.dirname, 'node_modules/.cache', `renovate-${VERSION}`)

async function problems (text: string): Promise<string[]> {
  const file = join(folder, 'package/renovate-schema.json')
  if (!existsSync(file)) fetchSchema()
  const ajv = new Ajv({ strict: false, allErrors: true, logger: false })
  ;(formats as unknown as (ajv: Ajv) => void)(ajv)
  const { $schema, ...schema } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  const validate = ajv.compile({ ...schema, additionalProperties: false, properties: { $schema: { type: 'string' }, ...schema.properties as object } })
  return validate(JSON.parse(text)) ? [] : (validate.errors ?? []).map(({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`)
}

function fetchSchema (): void {
  mkdirSync(folder, { recursive: true })
  const archive = execFileSync('npm', ['pack', '--silent', `renovate@${VERSION}`], { cwd: folder, encoding: 'utf8' }).trim()
  execFileSync('tar', ['-xzf', archive, 'package/renovate-schema.json'], { cwd: folder })
}

export default {
  name: 'renovate',
  files: ['renovate.json'],
  problems,
  refused: [{ text: '{ "extends": 5, "minimumReleaseAeg": "3 days" }', says: [/extends/, /minimumReleaseAeg/] }]
} satisfies Check
