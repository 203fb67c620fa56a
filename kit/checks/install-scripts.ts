// Which packages may run a script when they are installed: those in allowScripts of package.json,
// and each of them must have one. npm warns of others; here they fail.
import { project, type Check } from './check.ts'

async function problems (text: string): Promise<string[]> {
  const { packages } = JSON.parse(text) as { packages: Record<string, { hasInstallScript?: boolean }> }
  const { allowScripts } = project
  const withScript = new Set(Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path.replace(/^.*node_modules\//, '')))
  return [
    ...[...withScript].filter(name => allowScripts[name] === undefined).map(name => `${name} has an install script that nobody has allowed: see what it does, then npm install-scripts approve ${name}`),
    ...Object.keys(allowScripts).filter(name => !withScript.has(name)).map(name => `${name} is in allowScripts, but has no install script`)
  ]
}

export default {
  name: 'install scripts',
  files: ['package-lock.json'],
  problems,
  refused: [{
    text: '{ "packages": { "node_modules/node": { "hasInstallScript": true }, "node_modules/a/node_modules/miner": { "hasInstallScript": true } } }',
    says: [/miner has an install script/, /prisma is in allowScripts/]
  }]
} satisfies Check
