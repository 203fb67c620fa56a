// Known vulnerabilities in what runs in production: `npm audit --omit=dev`. Not every registry
// serves advisories: only then, and when it can't be reached, nothing is found.
import { spawnSync } from 'node:child_process'
import { root, type Check } from './check.ts'

interface Audit {
  error?: { code?: string, summary?: string }
  message?: string
  vulnerabilities?: Record<string, { severity: string, range: string, via: (string | { title: string, url: string })[] }>
}

/** The answer of npm as JSON. */
export function askForAdvisories (): string {
  return spawnSync('npm', ['audit', '--omit=dev', '--json'], { cwd: root, encoding: 'utf8' }).stdout
}

/** Why the registry could not be asked; undefined when it was. */
export function notAsked (text: string): string | undefined {
  const { error, message, vulnerabilities } = JSON.parse(text) as Audit
  const said = message ?? error?.summary ?? ''
  if (vulnerabilities !== undefined) return undefined
  return /\b(404|405|501)\b|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|audit endpoint returned an error/.test(said) ? said : undefined
}

async function problems (text: string): Promise<string[]> {
  if (notAsked(text) !== undefined) return []
  const { vulnerabilities, message, error } = JSON.parse(text) as Audit
  if (vulnerabilities === undefined) return [`npm audit failed: ${message ?? error?.summary}`]
  return Object.entries(vulnerabilities).map(([name, { severity, range, via }]) =>
    `${name} ${range} (${severity}): ${via.map(cause => typeof cause === 'string' ? cause : `${cause.title} ${cause.url}`).join(', ')}`)
}

export default {
  name: 'npm audit',
  files: [],
  problems,
  refused: [
    { text: JSON.stringify({ vulnerabilities: { leaky: { severity: 'high', range: '<1.0.1', via: [{ title: 'It leaks', url: 'https://example.com/1' }] } } }), says: [/leaky <1\.0\.1 \(high\): It leaks/] },
    { text: JSON.stringify({ error: { code: 'ENOLOCK', summary: 'This command requires an existing lockfile.' } }), says: [/npm audit failed/] }
  ]
} satisfies Check
