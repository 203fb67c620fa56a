// docs/security.md names tests: they are there.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/security.md'), 'utf8')
const rows = page.split('\n').filter(line => line.startsWith('| API'))

t.test('each of the ten risks has a row with a test', async (t) => {
  t.same(rows.map(row => /^\| (API\d+) /.exec(row)?.[1]), Array.from({ length: 10 }, (_, index) => `API${index + 1}`))
  for (const row of rows) t.match(row.split('|')[3], /`test\/[\w/-]+\.test\.ts`/, row.slice(0, 40))
})

t.test('every test that is named exists, by its file and its title', async (t) => {
  for (const [, file = '', title] of page.matchAll(/`(test\/[^`]+)`(?: "([^"]+)")?/g)) {
    t.ok(existsSync(join(root, file)), file)
    if (title !== undefined) t.ok(readFileSync(join(root, file), 'utf8').replaceAll('\\\'', '\'').includes(`('${title}', `), `${file}: ${title}`)
  }
})

t.test('so does every command', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  for (const [, name = ''] of page.matchAll(/`npm run ([\w:]+)`/g)) t.ok(scripts[name], name)
})
