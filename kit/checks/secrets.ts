// Secrets in the files that git knows: secretlint with its recommended rules.
import { generateKeyPairSync } from 'node:crypto'
import { checkoutFiles } from '../checkout-files.ts'
import { root, tool, type Check } from './check.ts'

interface Engine { executeOnContent: (file: { content: string, filePath: string }) => Promise<{ ok: boolean, output: string }> }

// The made-up passwords of the tests, which look for them where they must not be.
const database = { id: '@secretlint/secretlint-rule-database-connection-string', options: { allows: ['/:(hunter2|s3cret)@/'] } }
const config = { rules: [{ id: '@secretlint/secretlint-rule-preset-recommend', rules: [database] }] }
const TEXT = /(?<!package-lock)\.(ts|mjs|js|json|md|ya?ml|sql|prisma|toml|example)$|^[^.]*$|\/\.?[^./]*$/
let engine: Promise<Engine> | undefined

async function problems (text: string, file: string): Promise<string[]> {
  const { createEngine } = tool<{ createEngine: (options: object) => Promise<Engine> }>('@secretlint/node')
  engine ??= createEngine({ cwd: import.meta.dirname, color: false, formatter: 'compact', configFileJSON: config, maskSecrets: true })
  const { ok, output } = await (await engine).executeOnContent({ content: text, filePath: file })
  return ok ? [] : output.split('\n').filter(line => line.includes('Error - ')).map(line => line.slice(file.length + 2))
}

export default {
  name: 'secrets',
  files: checkoutFiles(root).filter(file => TEXT.test(file)),
  problems,
  // Made here: written down, they would be found.
  refused: [
    { text: String(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' })), says: [/PrivateKey/i] },
    { text: `token: ghp_${'wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0'.padEnd(36, 'a')}\nurl: postgresql://app:${'s3cret-and-long'}@db.example.com/app`, says: [/github/i, /basicauth|connection/i] }
  ]
} satisfies Check
