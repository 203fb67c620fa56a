import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** One checker: what it reads, what it finds wrong, and the proof that it would find it. */
export interface Check {
  name: string
  /** Files of the repository, from its top; each is a text to look at. */
  files: string[]
  /** The files are parts of one text. */
  together?: boolean
  /** What is wrong with a text, a line each. */
  problems: (text: string, file: string) => Promise<string[]>
  /** Texts that must be refused, with what must be said of them. */
  refused: { text: string, says: RegExp[] }[]
}

/** The top of the repository. */
export const root = join(import.meta.dirname, '../..')

/** package.json: what the files that are checked must agree with. */
export const project = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string, dependencies: Record<string, string>, allowScripts: Record<string, boolean> }

/** A package of this folder. Not imported: the types of the project do not depend on its being installed. */
export const tool: <T>(name: string) => T = createRequire(import.meta.url)
