// The Dockerfile: Docker's own syntax by dockerfile-utils, good practice by dockerlinter.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { project, tool, type Check } from './check.ts'

interface Found { message: string, range: { start: { line: number } } }

async function problems (text: string): Promise<string[]> {
  const { validate } = tool<{ validate: (text: string) => Found[] }>('dockerfile-utils')
  return [...validate(text).map(({ message, range }) => `line ${range.start.line + 1}: ${message}`), ...lint(text), ...ownRules(text)]
}

function lint (text: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'keel-lint-'))
  try {
    const file = join(folder, 'Dockerfile')
    writeFileSync(file, text)
    const command = join(import.meta.dirname, 'node_modules/dockerlinter/bin/dockerfilelinter.js')
    // Its shell checks need a binary that it downloads.
    const { status, stdout, stderr } = spawnSync(process.execPath, [command, '-f', file, '-s', 'none', '-e', 'info'], { encoding: 'utf8' })
    if (status === null || (status !== 0 && stdout.trim() === '')) throw new Error(`dockerlinter did not run: ${stderr}`)
    return stdout.trim() === '' ? [] : [stdout.trim().replaceAll(/\n\s*/g, ' ')]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What no linter here asks for. */
function ownRules (text: string): string[] {
  const { node } = project.dependencies
  const found: string[] = []
  if (!text.includes(`FROM node:${node}-slim `)) found.push(`the base image is not node:${node}-slim, the Node of package.json`)
  if (!/^USER [1-9]\d*(:[1-9]\d*)?$/m.test(text)) found.push('USER is not a number other than 0')
  if (!/^HEALTHCHECK .*CMD \[/m.test(text)) found.push('there is no HEALTHCHECK without a shell')
  if (!/^CMD \["(?!npm|npx)/m.test(text)) found.push('CMD is not a program of its own: npm and a shell do not pass on signals')
  return found
}

export default {
  name: 'Dockerfile',
  files: ['Dockerfile'],
  problems,
  refused: [{
    text: 'FROM node:latest\nRUNN true\nRUN apt-get install curl\nRUN cd /tmp && ls\nUSER root\nCMD npm start\n',
    says: [/Unknown instruction/, /latest/, /apt-get/, /WORKDIR/, /base image/, /USER/, /HEALTHCHECK/, /CMD/]
  }]
} satisfies Check
