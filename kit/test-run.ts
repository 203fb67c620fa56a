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
const tap = resolve('node_modules/tap/dist/esm/run.mjs')
process.argv[1] = tap
await import(tap)

function summary (): string {
  const lines = resultFiles().flatMap(file => {
    const failures = failuresOf(readFileSync(join(results, file), 'utf8'))
    return failures.length === 0 ? [] : [`  ${file.replace(/\.tap$/, '')}`, ...failures.map(failure => `    - ${failure}`)]
  })
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
