// Reports the line coverage of the last `npm run test:coverage` and fails below the percentage given.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const wanted = Number(process.argv[2] ?? 0)

spawnSync(join(root, 'node_modules/.bin/tap'), ['report', '--coverage-report=json-summary'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
const summary = JSON.parse(readFileSync(join(root, '.tap/report/coverage-summary.json'), 'utf8')) as Record<string, { lines: { pct: number } }>
for (const [file, { lines }] of Object.entries(summary)) {
  if (file !== 'total' && lines.pct < wanted) process.stdout.write(`${String(lines.pct).padStart(6)} % ${file.replace(`${root}/`, '')}\n`)
}
const lines = summary.total?.lines.pct ?? 0
process.stdout.write(`${String(lines).padStart(6)} % of all lines\n`)
// Without a run there is no number.
if (!(lines >= wanted)) process.exit(1)
