// Prisma's schema engine in WebAssembly, loaded when it is first needed.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { SchemaEngine } from '@prisma/schema-engine-wasm'

type Module = typeof import('@prisma/schema-engine-wasm')

let loading: Promise<Module> | undefined
let panic: string | undefined

/** Loads the module, once a process. By hand, because `import … from '….wasm'` would load it at start. */
export function loadEngine (): Promise<Module> {
  return loading ??= load()
}

/** The message of the panic that `error` stands for; undefined when it is no panic. */
export function panicMessage (error: unknown): string | undefined {
  return error instanceof WebAssembly.RuntimeError ? panic ?? error.message : undefined
}

async function load (): Promise<Module> {
  // The engine reports a panic here before it traps.
  Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: { set_message: (text: string) => { panic = text } } })
  const path = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
  const glue = await import('@prisma/schema-engine-wasm/schema_engine_bg') as Module & { __wbg_set_wasm: (exports: WebAssembly.Exports) => void }
  const bytes = await readFile(join(dirname(path), 'schema_engine_bg.wasm'))
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': glue as unknown as WebAssembly.ModuleImports })
  glue.__wbg_set_wasm(instance.exports)
  const start = instance.exports.__wbindgen_start
  if (typeof start === 'function') start()
  return glue
}

export type { SchemaEngine }
