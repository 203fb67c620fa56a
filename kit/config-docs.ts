// Writes what is said of the settings from their schema: .env.example, and the table in the
// README. `npm run config:docs`; a test fails when either is out of date.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { settings } from '../plugins/config/load.ts'

const root = join(import.meta.dirname, '..')
const START = '<!-- settings -->'
const END = '<!-- /settings -->'

/** The text of .env.example: every setting, commented out, with its meaning and default. */
export function envExample (): string {
  const blocks = settings.map(([name, { description, default: value, secret }]) =>
    `# ${description}.${secret ? ` Or ${name}_FILE.` : ''}\n# ${name}=${value ?? ''}\n`)
  return `# Copy to .env what you want to change. Generated from plugins/config/schema.ts.\n\n${blocks.join('\n')}`
}

/** The table of the README, as Markdown. */
export function settingsTable (): string {
  const rows = settings.map(([name, { description, default: value, production, required, unless, secret }]) => {
    const inProduction = required === 'production' ? (unless === undefined ? 'required' : `required without ${code(unless)}`) : production === null ? 'none' : production === undefined ? '' : code(production)
    return `| \`${name}\`${secret ? `, \`${name}_FILE\`` : ''} | ${description} | ${value === undefined || value === '' ? '' : code(value)} | ${inProduction} |`
  })
  return ['| name | meaning | default | in production |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

/** The README with its table as the schema has it. Throws when it has no place for one. */
export function readmeWithTable (readme: string): string {
  const [before, rest] = readme.split(START)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error(`README.md has no ${START} … ${END}`)
  return `${before}${START}\n${settingsTable()}\n${END}${after}`
}

function code (value: string | number): string {
  return `\`${value}\``
}

if (import.meta.main) {
  const readme = join(root, 'README.md')
  writeFileSync(join(root, '.env.example'), envExample())
  writeFileSync(readme, readmeWithTable(readFileSync(readme, 'utf8')))
}
