// Checks what is deployed and what it is made of: `npm run deploy:check`. Each checker first has
// to refuse a bad example: one that passes everything would fail here.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import audit, { askForAdvisories, notAsked } from './audit.ts'
import { root, type Check } from './check.ts'
import compose from './compose.ts'
import dockerfile from './dockerfile.ts'
import installScripts from './install-scripts.ts'
import kubernetes from './kubernetes.ts'
import lockfile from './lockfile.ts'
import prometheus from './prometheus.ts'
import renovate from './renovate.ts'
import secrets from './secrets.ts'
import workflow from './workflow.ts'

const checks: Check[] = [dockerfile, compose, kubernetes, prometheus, workflow, renovate, lockfile, installScripts, secrets]

/** What a checker lets pass that it must refuse. */
async function unproven ({ refused, problems }: Check): Promise<string[]> {
  const missing: string[] = []
  for (const { text, says } of refused) {
    const said = (await problems(text, 'example')).join('\n')
    missing.push(...says.filter(expected => !expected.test(said)).map(expected => `does not say ${expected} of its bad example, but: ${said}`))
  }
  return missing
}

async function found ({ files, together, problems }: Check): Promise<string[]> {
  const texts = files.map(file => readFileSync(join(root, file), 'utf8'))
  if (together) return await problems(texts.join('\n---\n'), files.join(' '))
  const each = await Promise.all(files.map(async (file, index) => (await problems(texts[index] ?? '', file)).map(problem => `${file}: ${problem}`)))
  return each.flat()
}

function report (name: string, problems: string[], note: string): void {
  process.stdout.write(problems.length === 0 ? `ok ${name}: ${note}\n` : `FAILED ${name}\n${problems.map(problem => `  ${problem}\n`).join('')}`)
  if (problems.length > 0) process.exitCode = 1
}

for (const check of checks) {
  report(check.name, [...await unproven(check), ...await found(check)], `${check.files.length === 1 ? check.files[0] : `${check.files.length} files`}, bad examples refused`)
}
const answer = askForAdvisories()
const reason = notAsked(answer)
report(audit.name, [...await unproven(audit), ...await audit.problems(answer)], reason === undefined ? 'no known vulnerability' : `NOT ASKED, this registry serves no advisories (${reason}); bad examples refused`)
