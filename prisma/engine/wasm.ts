// Prisma's schema engine in WebAssembly, loaded when it is first needed.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

type Module = typeof import('@prisma/schema-engine-wasm')
type Imports = Record<string, unknown>

// TypeScript knows WebAssembly only together with all of the browser.
declare const WebAssembly: {
  instantiate: (bytes: Uint8Array, imports: Record<string, Imports>) => Promise<{ instance: { exports: Record<string, unknown> } }>
}

/** The engine broke down (`panic`) or was asked in a way that it doesn't understand. */
export class EngineFault extends Error {
  override name = 'EngineFault'
  panic: boolean

  constructor (message: string, panic: boolean) {
    super(message)
    this.panic = panic
  }
}

let loading: Promise<Module> | undefined
let panic: string | undefined

/** Loads the module, once a process. By hand, because `import … from '….wasm'` would load it at start. */
export function loadWasm (): Promise<Module> {
  loading ??= load()
  return loading
}

/**
 * Waits for the engine. What it throws while it runs comes out of a microtask of
 * its own, and leaves its promise pending: that is caught here and rejects.
 * @throws EngineFault
 */
export function guard<T> (action: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const caught = (error: unknown): void => {
      process.off('uncaughtException', caught)
      if (!(error instanceof Error && error.stack?.includes('wasm-function'))) {
        // Not the engine's: end as if nobody had listened.
        setImmediate(() => { throw error })
        return
      }
      reject(fault(error))
    }
    process.on('uncaughtException', caught)
    const rejected = (error: unknown): void => reject(error instanceof Error && error.name === 'RuntimeError' ? fault(error) : error)
    action().then(resolve, rejected).finally(() => process.off('uncaughtException', caught))
  })
}

function fault (error: Error): EngineFault {
  const made = new EngineFault(panic ?? error.message, panic !== undefined || error.name === 'RuntimeError')
  // The instance is in no state to go on.
  loading = panic = undefined
  return made
}

async function load (): Promise<Module> {
  // The engine reports a panic here before it traps.
  Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: { set_message: (text: string) => { panic = text } } })
  const path = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
  // Its glue keeps views of one instance's memory: each instance needs a glue of its own.
  const glue = await import(`${pathToFileURL(path).href}?${randomUUID()}`) as Module & { __wbg_set_wasm: (exports: unknown) => void }
  const bytes = await readFile(join(dirname(path), 'schema_engine_bg.wasm'))
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': importsOf(glue) })
  glue.__wbg_set_wasm(instance.exports)
  const start = instance.exports.__wbindgen_start
  if (typeof start === 'function') start()
  return glue
}

/** The engine never clears the timer that bounds its wait for the advisory lock (10 s): it must not keep a process. */
function importsOf (glue: Module): Imports {
  const unref = (action: () => void, ms: number): NodeJS.Timeout => setTimeout(action, ms).unref()
  return Object.fromEntries(Object.entries(glue).map(([name, value]) => [name, name.startsWith('__wbg_setTimeout_') ? unref : value]))
}
