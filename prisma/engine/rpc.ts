// The CLI's side of the schema engine: a JSON-RPC 2.0 message a line.
import { createInterface } from 'node:readline'
import { openEngine } from './engine.ts'
import { EngineFault } from './wasm.ts'
import type { Engine } from './engine.ts'
import type { Target } from './target.ts'

interface Request { id?: number, method?: string, params?: Record<string, unknown> }

const FAILED = { code: 4466, message: 'An error happened. Check the data field for details.' }

/**
 * Answers the CLI's requests until it closes stdin, one after the other as they come.
 * @param datamodels path and content of the schema files
 */
export async function serveRpc (target: Target, datamodels: [string, string][]): Promise<void> {
  let engine: Promise<Engine> | undefined
  let prints = 0
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const { id, method, params } = parse(line)
    // The CLI's answers to our own `print` have no method.
    if (id === undefined || method === undefined) continue
    try {
      const result = await (await (engine ??= openEngine(target, datamodels)))(method, params ?? {})
      const { stdout, ...rest } = (result ?? {}) as { stdout?: string | null }
      if (typeof stdout === 'string') send({ id: ++prints, method: 'print', params: { content: stdout } })
      send({ id, result: typeof result === 'object' && result !== null ? rest : result ?? {} })
    } catch (error) {
      send({ id, error: { ...FAILED, data: describe(error) } })
    }
  }
}

function parse (line: string): Request {
  try {
    return JSON.parse(line) as Request
  } catch {
    return {}
  }
}

function send (message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
}

function describe (error: unknown): object {
  const { message = String(error), code, meta } = error as { message?: string, code?: string, meta?: unknown }
  return error instanceof EngineFault && error.panic
    ? { is_panic: true, message, error: { message } }
    : { is_panic: false, message, error_code: code, meta }
}
