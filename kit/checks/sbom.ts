// Writes sbom.cdx.json (CycloneDX): the packages of the image, and no others. Of an installation
// made as the Dockerfile makes it: the lock file alone counts optional peers in.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './check.ts'

const command = join(import.meta.dirname, 'node_modules/@cyclonedx/cyclonedx-npm/bin/cyclonedx-npm-cli.js')
const output = join(root, 'sbom.cdx.json')
const folder = mkdtempSync(join(tmpdir(), 'keel-sbom-'))

try {
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) cpSync(join(root, file), join(folder, file))
  const omit = ['--omit=dev', '--omit=optional']
  execFileSync('npm', ['ci', ...omit, '--ignore-scripts', '--loglevel=error'], { cwd: folder, stdio: 'inherit' })
  execFileSync(process.execPath, [command, ...omit, '--output-reproducible', '--validate', '--output-file', output], { cwd: folder, stdio: 'inherit' })
  const { components } = JSON.parse(readFileSync(output, 'utf8')) as { components: object[] }
  process.stdout.write(`sbom.cdx.json: ${components.length} components\n`)
} finally {
  rmSync(folder, { recursive: true })
}
