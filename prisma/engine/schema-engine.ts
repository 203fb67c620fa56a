// The schema engine's executable side: `[--datamodels FILE]… [--datasource JSON]`
// speaks JSON-RPC on stdin and stdout; `… cli can-connect-to-database` and
// `… cli create-database` answer with their exit code and a log line.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runCommand } from './commands.ts'
import { ENGINE_TITLE } from './owner.ts'
import { serveRpc } from './rpc.ts'
import { openTarget } from './target.ts'
import { loadWasm } from './wasm.ts'
import type { Datasource } from './target.ts'

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  // The CLI's --enabled-preview-features and --extension-types mean nothing here.
  strict: false,
  options: { datamodels: { type: 'string', multiple: true }, datasource: { type: 'string' }, version: { type: 'boolean' } }
})

const datasource = JSON.parse(typeof values.datasource === 'string' ? values.datasource : '{}') as Datasource
// The CLI sends SIGTERM right after it has closed stdin, and Ctrl-C reaches the
// whole process group: the end of stdin is what ends this process, in order.
process.on('SIGTERM', () => {}).on('SIGINT', () => {}).on('SIGHUP', () => {})
process.stdout.on('error', () => {})

process.env.KEEL_OWNER_TITLE = ENGINE_TITLE

const target = openTarget(datasource)
try {
  if (values.version) {
    // `prisma version` asks; the version is that of @prisma/schema-engine-wasm.
    console.log(`schema-engine-cli ${(await loadWasm()).version()} (WebAssembly)`)
  } else if (positionals[0] === 'cli') {
    process.exitCode = await runCommand(positionals[1] ?? '', target)
  } else {
    const files = (values.datamodels ?? []) as string[]
    await serveRpc(target, files.map((path) => [path, readFileSync(path, 'utf8')]))
  }
} finally {
  await target.close()
}
