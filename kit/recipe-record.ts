// Writes the edits of a recipe from what was changed by hand: `node kit/recipe-record.ts NAME`, in a checkout whose last
// commit has a concern of the kit, and whose files were edited to be without it (or, for a recipe, the other way round).
// What is generated, and package.json, is left out. An edit gets as much of its surroundings as make it the only such place,
// and none that another recipe edits.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jsonText } from './json.ts'
import { GENERATED } from './recipes/carry-out.ts'
import { readManifest, recipeNames, RecipeError, type RecipeEdit } from './recipes/recipe.ts'

type Exchange = Extract<RecipeEdit, { with: string[] }>
/** Lines of the file before and after: from (included), to (not included). */
interface Hunk { before: [number, number], after: [number, number] }

const root = join(import.meta.dirname, '..')
const LEFT_OUT = [...GENERATED.filter(path => path !== 'README.md'), 'package.json', 'package-lock.json']
const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 })

const name = process.argv[2] ?? ''
const { builtIn } = readManifest(root, name)
const files = git('diff', '--name-only', '--diff-filter=M', 'HEAD').split('\n').filter(path => path !== '' && !path.startsWith('recipes/') && !LEFT_OUT.includes(path))
const edits = files.flatMap(file => {
  const before = git('show', `HEAD:${file}`).split('\n')
  const after = readFileSync(join(root, file), 'utf8').split('\n')
  return hunksOf(file).map(hunk => grown(file, hunk, before, after)).map(({ before: [from, to], after: [start, end] }): Exchange => {
    const [had, has] = [before.slice(from, to), after.slice(start, end)]
    return builtIn ? { file, with: had, without: has } : { file, with: has, without: had }
  })
})
const path = join(root, 'recipes', name, 'recipe.json')
const content = JSON.parse(readFileSync(path, 'utf8')) as { edits?: RecipeEdit[] }
const kept = (content.edits ?? []).filter(edit => 'anchor' in edit || LEFT_OUT.includes(edit.file))
writeFileSync(path, jsonText({ ...content, edits: [...edits, ...kept] }))
process.stdout.write(`${edits.length} edits in ${files.length} files\n`)

/** What git says was changed. The table of the settings in the README is generated. */
function hunksOf (file: string): Hunk[] {
  const range = (start: string, count = '1'): [number, number] => {
    const from = Number(start) - (count === '0' ? 0 : 1)
    return [from, from + Number(count)]
  }
  const hunks = [...git('diff', '-U0', '--inter-hunk-context=3', 'HEAD', '--', file).matchAll(/^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*\n((?:[-+ \\].*\n)*)/gm)]
  return hunks.filter(([,,,,, lines = '']) => file !== 'README.md' || !/^[-+]\| `[A-Z_]+`/m.test(lines))
    .map(([, a = '', b, c = '', d]) => ({ before: range(a, b), after: range(c, d) }))
}

function grown (file: string, hunk: Hunk, before: string[], after: string[]): Hunk {
  const others = recipeNames(root).filter(other => other !== name).flatMap(other => readManifest(root, other).edits)
  const taken = new Set(others.flatMap(edit => 'with' in edit && edit.file === file ? [...edit.with.filter(line => !edit.without.includes(line)), ...edit.without.filter(line => !edit.with.includes(line))] : []))
  const isFree = (line: string | undefined) => line !== undefined && (!taken.has(line) || before.filter(other => other === line).length > 1)
  let { before: [from, to], after: [start, end] } = hunk
  for (let isDown = false; !(isOnly(before, from, to) && isOnly(after, start, end)); isDown = !isDown) {
    // What lies around it is the same before and after, or it is another change.
    const canGoUp = start > 0 && before[from - 1] === after[start - 1] && isFree(before[from - 1])
    const canGoDown = end < after.length && before[to] === after[end] && isFree(before[to])
    if (!canGoUp && !canGoDown) throw new RecipeError(`${file}, line ${from + 1}: there is no place around it that is the only one of its kind.`)
    if (canGoUp && !(isDown && canGoDown)) [from, start] = [from - 1, start - 1]
    else [to, end] = [to + 1, end + 1]
  }
  return { before: [from, to], after: [start, end] }
}

/** Whether these lines are some, and nowhere else. */
function isOnly (lines: string[], from: number, to: number): boolean {
  const wanted = lines.slice(from, to)
  return wanted.length > 0 && lines.filter((_line, index) => wanted.every((line, offset) => lines[index + offset] === line)).length === 1
}
