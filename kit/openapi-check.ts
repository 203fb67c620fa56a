// The contract gate. `npm run openapi:check` compares openapi.json with openapi.released.json and
// fails when clients of the last release would break; `npm run openapi:release` makes it the last release.
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compareDocuments } from './contract/compare.ts'
import type { Document } from './contract/document.ts'
import { mayBreak } from './contract/version.ts'

type Versioned = Document & { info: { version: string } }

/**
 * Compares the documents in a folder, and with `release` copies the current one.
 * @returns what to print, and the exit code
 */
export function checkContract (folder: string, release: boolean): { lines: string[], code: number } {
  const [released, current] = ['openapi.released.json', 'openapi.json'].map(name => join(folder, name)) as [string, string]
  if (!existsSync(released)) {
    // A fork that has never released has no clients to break.
    if (!release) return { lines: ['nothing to compare with: openapi.released.json is made by the first npm run openapi:release'], code: 0 }
    copyFileSync(current, released)
    return { lines: ['this is the first release: openapi.released.json is made'], code: 0 }
  }
  const [before, after] = [released, current].map(file => JSON.parse(readFileSync(file, 'utf8')) as Versioned) as [Versioned, Versioned]
  const versions = before.info.version === after.info.version ? before.info.version : `${before.info.version} → ${after.info.version}`
  const changes = compareDocuments(before, after)
  const lines = changes.map(({ breaking, at, what }) => `${breaking ? 'BREAKING' : 'info'}: ${at}: ${what}`)
  const breaking = changes.filter(change => change.breaking).length
  const summary = `${breaking} breaking, ${changes.length - breaking} other changes since the last release (${versions})`
  const isAllowed = breaking === 0 || (release && mayBreak(before.info.version, after.info.version))
  if (!isAllowed) {
    const way = release ? 'raise the version in package.json (the major, before 1.0 the minor) and run npm run openapi first' : 'mend it, or release it as a new version: docs/contract.md'
    return { lines: [...lines, `${summary}: ${way}`], code: 1 }
  }
  if (release) copyFileSync(current, released)
  return { lines: [...lines, summary], code: 0 }
}

if (import.meta.main) {
  const { lines, code } = checkContract(join(import.meta.dirname, '..'), process.argv.includes('--release'))
  process.stdout.write(`${lines.join('\n')}\n`)
  process.exitCode = code
}
