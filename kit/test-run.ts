// tap, and at its end what failed: on a terminal one sees it, but the output that a log has
// (`--reporter=tap`, or what tap prints where there is no terminal) says it somewhere in its middle.
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { failuresOf } from './failures.ts'

const results = resolve('.tap/test-results')
rmSync(results, { recursive: true, force: true })

process.on('exit', code => {
  if (code !== 0) process.stderr.write(summary())
})
const runner = resolve('node_modules/tap/dist/esm/run.mjs')
process.argv[1] = runner
// What tap records of each file that a test loads is for coverage, and costs a second a test file.
if (process.argv.includes('--disable-coverage')) process.argv.push('--test-env=_TAPJS_PROCESSINFO_EXCLUDE_=/./')
// The one that runs the files: it knows of those that failed though each of their tests passed.
const { t: tap } = await import('tap')
await import(runner)

function summary (): string {
  const failed = new Map(resultFiles().map(file => [file.replace(/\.tap$/, ''), failuresOf(readFileSync(join(results, file), 'utf8'))]))
  for (const { fullname, diag } of tap.lists.fail) {
    // tap names a file whose time is up, and that alone, in the details.
    if (diag?.expired !== undefined) {
      failed.get(diag.expired)?.push('the file itself: it took longer than a file may (--timeout)')
      continue
    }
    const [, file] = fullname.split(' > ')
    if (file !== undefined && (failed.get(file) ?? []).length === 0) failed.set(file, [`the file itself, outside its tests: exit code ${diag?.exitCode ?? '-'}, signal ${diag?.signal ?? '-'}`])
  }
  const lines = [...failed].filter(([, failures]) => failures.length > 0).sort().flatMap(([file, failures]) => [`  ${file}`, ...failures.map(failure => `    - ${failure}`)])
  return lines.length === 0 ? '' : `\nWhat failed:\n${lines.join('\n')}\n`
}

function resultFiles (): string[] {
  try {
    return readdirSync(results, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.tap')).sort()
  } catch {
    // Not even a test file was found.
    return []
  }
}
