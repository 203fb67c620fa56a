// Recipes come and go as one: in small trees of their own. Those of recipes/ are tried in a clone (kit/recipe-check.ts).
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { checkoutFiles } from '../../kit/checkout-files.ts'
import { carryOut } from '../../kit/recipes/carry-out.ts'
import { planAdd } from '../../kit/recipes/plan-add.ts'
import { planRemove } from '../../kit/recipes/plan-remove.ts'
import { presentIn, withNeeding } from '../../kit/recipes/present.ts'
import { readManifest, readRecipe, recipeNames } from '../../kit/recipes/recipe.ts'
import { alone, copyOfCheckout, run } from '../helpers/process.ts'

const root = join(import.meta.dirname, '../..')
const scripts = { 'config:docs': 'true', openapi: 'true', client: 'true' }
const service = 'const table = {\n  a: 1,\n  // recipes: operations\n  z: 26\n}\n'

/** A tree with a recipe `tea`, changed as asked. */
function treeWith (t: Test, tea: object = {}, others: Record<string, string> = {}): string {
  const folder = t.testdir()
  writeAll(folder, {
    'package.json': `${JSON.stringify({ name: 'x', scripts, dependencies: { b: '1.0.0' }, devDependencies: { d: '1.0.0' } }, null, 2)}\n`,
    'services/table.ts': service,
    'recipes/tea/recipe.json': JSON.stringify({ description: 'Tea', edits: [{ file: 'services/table.ts', anchor: 'operations', lines: ['tea: {', '  hot: true', '},'] }], next: ['boil water'], ...tea }),
    'recipes/tea/files/services/tea.ts': 'export const tea = 1\n',
    ...others
  })
  return folder
}

/** A copy of this tree, to take things out of. */
function copyOfTree (t: Test): string {
  const folder = t.testdir()
  for (const file of checkoutFiles(root)) cpSync(join(root, file), join(folder, file))
  return folder
}

function writeAll (folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** The files but those in node_modules, where caches are. */
function contents (folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile() && !entry.parentPath.includes('node_modules'))
  return Object.fromEntries(files.map(({ parentPath, name }) => [join(parentPath, name).slice(folder.length + 1), readFileSync(join(parentPath, name), 'utf8')]))
}

const add = (folder: string, name = 'tea') => planAdd(folder, name).tree.apply()
const remove = (folder: string, name = 'tea') => {
  const plan = planRemove(folder, name)
  plan.tree.apply()
  return plan
}

t.test('a recipe that is added and removed leaves the tree as it was, to the byte', async t => {
  const folder = treeWith(t, { dependencies: { a: '2.0.0', d: '1.0.0' }, devDependencies: { c: '3.0.0' } })
  const before = contents(folder)
  add(folder)
  const after = contents(folder)
  t.equal(after['services/tea.ts'], 'export const tea = 1\n')
  t.equal(after['services/table.ts'], 'const table = {\n  a: 1,\n  tea: {\n    hot: true\n  },\n  // recipes: operations\n  z: 26\n}\n')
  t.match(JSON.parse(after['package.json'] ?? ''), { dependencies: { a: '2.0.0', b: '1.0.0', d: '1.0.0' }, devDependencies: { c: '3.0.0' } })
  t.same(remove(folder).left, [])
  t.same(contents(folder), before)
})

t.test('what a recipe takes the place of is kept aside, and is back when it is removed', async t => {
  const tea = { replaces: { paths: ['services/coffee/', 'services/milk.ts'], dependencies: ['b'] }, edits: [{ file: 'services/index.ts', with: ['tea'], without: ['coffee'] }] }
  const folder = treeWith(t, tea, { 'services/coffee/cup.ts': 'coffee\n', 'services/milk.ts': 'cold\n', 'services/index.ts': 'coffee\n', 'recipes/tea/files/services/milk.ts': 'warm\n' })
  const before = contents(folder)
  add(folder)
  const after = contents(folder)
  t.match(after, { 'services/milk.ts': 'warm\n', 'services/index.ts': 'tea\n', 'recipes/tea/replaced/services/coffee/cup.ts': 'coffee\n', 'recipes/tea/replaced/services/milk.ts': 'cold\n' })
  t.notOk(existsSync(join(folder, 'services/coffee')))
  t.notOk(JSON.parse(after['package.json'] ?? '').dependencies.b)
  t.same(remove(folder).left, [])
  t.same(contents(folder), before)
})

t.test('what is there already is not added again, and what is not there not removed', async t => {
  const folder = treeWith(t)
  t.ok(planRemove(folder, 'tea').isDone)
  add(folder)
  t.ok(planAdd(folder, 'tea').isDone)
})

t.test('what does not fit is refused by name, before anything is changed', async t => {
  const cases: [name: string, folder: (t: Test) => string, reason: RegExp][] = [
    ['an unknown recipe', t => { const folder = treeWith(t); rmSync(join(folder, 'recipes'), { recursive: true }); return folder }, /no recipe "tea"\. There are: none/],
    ['a file that is there', t => treeWith(t, {}, { 'services/tea.ts': 'mine' }), /services\/tea\.ts is there already\. Move it away/],
    ['an anchor that is gone', t => treeWith(t, {}, { 'services/table.ts': 'const table = {}\n' }), /"recipes: operations" is not in services\/table\.ts[\s\S]*\ntea: \{\n {2}hot: true\n\},/],
    ['an anchor that is there twice', t => treeWith(t, {}, { 'services/table.ts': service + service }), /is 2 times in services\/table\.ts/],
    ['a file to edit that is gone', t => treeWith(t, { edits: [{ file: 'services/other.ts', anchor: 'operations', lines: ['x'] }] }), /services\/other\.ts is not there/],
    ['a folder with another name', t => treeWith(t, {}, { 'recipes/tea/files/routes/tea/index.ts': '' }), /routes\/, which is not there/],
    ['another version of a package', t => treeWith(t, { dependencies: { b: '2.0.0' } }), /needs b 2\.0\.0, and package\.json has 1\.0\.0/],
    ['a recipe that it needs', t => treeWith(t, { requires: ['water'] }), /needs water\. Add water first/],
    ['a recipe.json that is none', t => treeWith(t, {}, { 'recipes/tea/recipe.json': '{' }), /recipe\.json can't be read/],
    ['a recipe.json with an unknown key', t => treeWith(t, { depndencies: {} }), /recipe\.json is not a recipe: .*additional/i],
    ['a version that is a range', t => treeWith(t, { dependencies: { a: '^2.0.0' } }), /recipe\.json is not a recipe: \/dependencies/],
    ['a ledger that can\'t be read', t => treeWith(t, {}, { 'recipes/installed.json': 'x' }), /installed\.json can't be read/]
  ]
  for (const [name, make, reason] of cases) {
    await t.test(name, async t => {
      const folder = make(t)
      const before = contents(folder)
      t.throws(() => planAdd(folder, 'tea'), { name: 'RecipeError', message: reason })
      t.same(contents(folder), before)
    })
  }
})

t.test('recipes that do not go together are named', async t => {
  const folder = treeWith(t, {}, { 'recipes/coffee/recipe.json': JSON.stringify({ description: 'Coffee', conflicts: ['tea'] }) })
  add(folder)
  t.throws(() => planAdd(folder, 'coffee'), { message: /does not go with tea/ })
  remove(folder)
  add(folder, 'coffee')
  t.throws(() => planAdd(folder, 'tea'), { message: /does not go with coffee/ }, 'whichever of the two says so')
})

t.test('its scripts come and go with it; one of the fork\'s own is not overwritten', async t => {
  const folder = treeWith(t, { scripts: { 'tea:make': 'true', lint: 'false' } }, { 'package.json': `${JSON.stringify({ scripts: { lint: 'true' } }, null, 2)}\n` })
  t.throws(() => planAdd(folder, 'tea'), { message: /has a script "lint", and package\.json has another/ })
  const other = treeWith(t, { scripts: { 'tea:make': 'true' } })
  const before = contents(other)
  add(other)
  t.match(JSON.parse(contents(other)['package.json'] ?? ''), { scripts: { openapi: 'true', 'tea:make': 'true' } })
  remove(other)
  t.same(contents(other), before)
})

t.test('what another recipe needs stays until that is removed', async t => {
  const folder = treeWith(t, { dependencies: { a: '2.0.0' } }, { 'recipes/milk/recipe.json': JSON.stringify({ description: 'Milk', requires: ['tea'], dependencies: { a: '2.0.0' } }), 'recipes/cup/recipe.json': JSON.stringify({ description: 'Cup', dependencies: { a: '2.0.0' } }) })
  const before = contents(folder)
  add(folder)
  add(folder, 'milk')
  add(folder, 'cup')
  t.throws(() => planRemove(folder, 'tea'), { message: /"tea" can't be removed: milk needs it\. Remove milk first/ })
  remove(folder, 'milk')
  remove(folder)
  t.equal(JSON.parse(contents(folder)['package.json'] ?? '').dependencies.a, '2.0.0', 'the cup needs it')
  remove(folder, 'cup')
  t.same(contents(folder), before)
})

t.test('what a recipe needs', async t => {
  const recipe = (name: string, ...requires: string[]) => ({ [`recipes/${name}/recipe.json`]: JSON.stringify({ description: name, requires, next: [`see to the ${name}`], dependencies: { [`${name}-parts`]: '1.0.0' } }), [`recipes/${name}/files/services/${name}.ts`]: `${name}\n` })
  const tree = (t: Test) => treeWith(t, { requires: ['water'] }, { ...recipe('water'), ...recipe('milk', 'water'), ...recipe('cup', 'tea') })

  await t.test('comes with it, and goes with the last that needs it', async t => {
    const folder = tree(t)
    const before = contents(folder)
    t.match(planAdd(folder, 'tea'), { with: ['water'], files: ['services/water.ts', 'services/tea.ts'], packages: ['water-parts@1.0.0'], next: ['see to the water', 'boil water'] })
    add(folder)
    t.match(contents(folder), { 'services/water.ts': 'water\n', 'services/tea.ts': 'export const tea = 1\n' })
    t.same(planAdd(folder, 'milk').with, [])
    add(folder, 'milk')
    t.throws(() => planRemove(folder, 'water'), { message: /tea and milk need it|milk and tea need it/ })
    t.same(remove(folder).with, [], 'the milk needs it')
    t.match(remove(folder, 'milk'), { with: ['water'], packages: ['milk-parts@1.0.0', 'water-parts@1.0.0'], left: [] })
    t.same(contents(folder), before)
  })

  await t.test('also by way of another', async t => {
    const folder = tree(t)
    const before = contents(folder)
    t.same(planAdd(folder, 'cup').with, ['water', 'tea'])
    add(folder, 'cup')
    t.same(remove(folder, 'cup').with, ['tea', 'water'])
    t.same(contents(folder), before)
  })

  await t.test('stays when it was asked for, before or since', async t => {
    const folder = tree(t)
    const before = contents(folder)
    for (const [first, second] of [['water', 'tea'], ['tea', 'water']] as const) {
      add(folder, first)
      const { isDone, next } = planAdd(folder, second)
      t.match({ isDone, next }, { isDone: false, next: [second === 'water' ? /was there, and stays now/ : 'boil water'] })
      add(folder, second)
      t.ok(planAdd(folder, 'water').isDone)
      t.same(remove(folder).with, [])
      t.equal(contents(folder)['services/water.ts'], 'water\n')
      remove(folder, 'water')
      t.same(contents(folder), before)
    }
  })

  await t.test('is left where the user has changed it', async t => {
    const folder = tree(t)
    add(folder)
    writeAll(folder, { 'services/water.ts': 'mine now\n' })
    t.match(remove(folder), { with: ['water'], left: [/services\/water\.ts: changed/] })
    t.equal(contents(folder)['services/water.ts'], 'mine now\n')
  })

  await t.test('is looked at before anything is changed', async t => {
    const folder = tree(t)
    writeAll(folder, { ...recipe('water', 'cup'), 'recipes/lemon/recipe.json': JSON.stringify({ description: 'Lemon', conflicts: ['milk'] }), 'recipes/foam/recipe.json': JSON.stringify({ description: 'Foam', requires: ['milk'] }), ...recipe('milk') })
    t.throws(() => planAdd(folder, 'tea'), { name: 'RecipeError', message: '"tea", "water" and "cup" need each other.' })
    add(folder, 'lemon')
    t.throws(() => planAdd(folder, 'foam'), { name: 'RecipeError', message: /"milk" does not go with lemon/ })
  })
})

t.test('a folder is put aside whole, and a script comes back as one that can be run', async t => {
  const folder = treeWith(t, {}, {
    'services/tea.ts': 'export const tea = 0\n',
    'services/old/cup.ts': 'cup\n',
    'scripts/make': '#!/bin/sh\n',
    'recipes/tea/recipe.json': JSON.stringify({ description: 'Tea', replaces: { paths: ['services/', 'scripts/make', 'not/there.ts'], dependencies: [] } })
  })
  chmodSync(join(folder, 'scripts/make'), 0o755)
  const before = contents(folder)
  add(folder)
  const after = contents(folder)
  t.equal(after['services/tea.ts'], 'export const tea = 1\n', 'the recipe\'s')
  t.same(Object.keys(after).filter(path => /^(services|scripts)\//.test(path)), ['services/tea.ts'])
  t.equal(after['recipes/tea/replaced/services/old/cup.ts'], 'cup\n')
  t.same(remove(folder).left, [])
  t.same(contents(folder), before)
  t.equal(statSync(join(folder, 'scripts/make')).mode & 0o777, 0o755)

  await t.test('what the user made of the recipe\'s stays, and where the other is is said', async t => {
    add(folder)
    writeAll(folder, { 'services/tea.ts': 'mine now\n' })
    t.match(remove(folder).left, [/services\/tea\.ts: changed/, /recipes\/tea\/replaced\/services\/tea\.ts: services\/tea\.ts is there/])
    t.match(contents(folder), { 'services/tea.ts': 'mine now\n', 'recipes/tea/replaced/services/tea.ts': 'export const tea = 0\n', 'services/old/cup.ts': 'cup\n' })
  })
})

t.test('what the user changed is left, and named', async t => {
  const folder = treeWith(t, { dependencies: { a: '2.0.0' } })
  add(folder)
  writeAll(folder, { 'services/tea.ts': 'mine now\n', 'services/table.ts': readFileSync(join(folder, 'services/table.ts'), 'utf8').replace('hot: true', 'hot: false') })
  const { left } = remove(folder)
  t.match(left, [/services\/tea\.ts: changed/, /services\/table\.ts: the lines for "operations"/])
  t.equal(contents(folder)['services/tea.ts'], 'mine now\n')
  t.match(contents(folder)['services/table.ts'], /hot: false/)
  t.notOk(existsSync(join(folder, 'recipes/installed.json')))
})

t.test('lines that were moved are found and taken out all the same', async t => {
  const folder = treeWith(t)
  add(folder)
  writeAll(folder, { 'services/table.ts': 'export const mine = 1\n' + readFileSync(join(folder, 'services/table.ts'), 'utf8') })
  t.same(remove(folder).left, [])
  t.equal(contents(folder)['services/table.ts'], `export const mine = 1\n${service}`)
})

t.test('without a network it is said what is needed, and the tree is as it was', async t => {
  const folder = treeWith(t, { dependencies: { 'keel-is-not-there': '1.0.0' } })
  const before = contents(folder)
  process.env.npm_config_registry = 'http://127.0.0.1:1'
  process.env.npm_config_fetch_retries = '0'
  t.teardown(() => { delete process.env.npm_config_registry; delete process.env.npm_config_fetch_retries })
  await t.rejects(carryOut(folder, planAdd(folder, 'tea'), () => {}), { name: 'RecipeError', message: /could not install keel-is-not-there@1\.0\.0:[\s\S]*The tree is as it was/ })
  t.same(contents(folder), before)
})

t.test('the command', async t => {
  const folder = copyOfCheckout(t)
  const git = (...args: string[]) => execFileSync('git', ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', ...args], { cwd: folder, encoding: 'utf8' })
  rmSync(join(folder, 'recipes'), { recursive: true })
  writeAll(folder, { 'recipes/tea/recipe.json': JSON.stringify({ description: 'Tea', next: ['boil water'] }), 'recipes/tea/files/services/tea.ts': 'export const tea = 1\n' })
  const content = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const withOpenapi = (openapi: string) => writeAll(folder, { 'package.json': `${JSON.stringify({ ...content, scripts: { ...content.scripts, ...scripts, openapi } }, null, 2)}\n` })
  withOpenapi(scripts.openapi)
  git('init', '-q')
  git('add', '-A')
  git('commit', '-qm', 'A fork')
  const kit = async (...words: string[]) => await run(folder, 'node_modules/.bin/node', ['kit/cli.ts', ...words])

  await t.test('says what would change, and changes nothing', async t => {
    const { code, output } = await kit('add', 'tea', '--dry-run', '--json')
    t.equal(code, 0)
    const { written, ...plan } = JSON.parse(output) as { written: string[] }
    t.match(plan, { action: 'add', name: 'tea', files: ['services/tea.ts'], next: ['boil water'], dryRun: true })
    t.same(written.filter(path => /installed|openapi|package/.test(path)), ['recipes/installed.json', 'openapi.json'])
    t.equal(git('status', '--porcelain'), '')
  })

  await t.test('adds, lists and removes', async t => {
    t.match(await kit('add', 'tea'), { code: 0, output: /Added tea:[\s\S]*services\/tea\.ts[\s\S]*boil water/ })
    t.match(JSON.parse((await kit('list', '--json')).output), [{ name: 'tea', added: true, description: 'Tea' }])
    t.match(await kit('remove', 'tea'), { code: 1, output: /not committed[\s\S]*--force/ }, 'not beside changes that are not committed')
    t.match(await kit('add', 'tea', '--force'), { code: 0, output: /there already/ })
    t.match(await kit('remove', 'tea', '--force'), { code: 0, output: /Removed tea/ })
    t.equal(git('status', '--porcelain'), '')
  })

  await t.test('names what comes and goes with it', async t => {
    writeAll(folder, { 'recipes/cup/recipe.json': JSON.stringify({ description: 'Cup', requires: ['tea'] }) })
    t.match(await kit('add', 'cup', '--force', '--dry-run'), { code: 0, output: /^Would add cup, and tea, which it needs:/ })
    t.match(await kit('add', 'cup', '--force'), { code: 0, output: /Added cup, and tea, which it needs:[\s\S]*services\/tea\.ts[\s\S]*boil water/ })
    t.match(await kit('remove', 'cup', '--force'), { code: 0, output: /Removed cup, and tea, which nothing needs any more:[\s\S]*services\/tea\.ts/ })
    rmSync(join(folder, 'recipes/cup'), { recursive: true })
    t.equal(git('status', '--porcelain'), '')
  })

  await t.test('explains what it does not know', async t => {
    t.match(await kit('add', 'gin'), { code: 1, output: /no recipe "gin"\. There are: tea/ })
    t.match(JSON.parse((await kit('remove', 'gin', '--json')).output), { error: /no recipe "gin"/ })
    t.match(await kit('add'), { code: 1, output: /missing required argument/ })
    t.match(await kit('add', '../tea'), { code: 1, output: /no recipe/ })
    t.match(await kit('add', '--help'), { code: 0, output: /--dry-run/ })
  })

  /** Adds tea, as far as where it generates; in a process group of its own. */
  const beginning = async () => {
    const child = spawn(...alone('node_modules/.bin/node', ['kit/cli.ts', 'add', 'tea'], { PATH: process.env.PATH }), { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    let said = ''
    child.stderr.on('data', chunk => { said += String(chunk) })
    while (!/Generating/.test(said)) await once(child.stderr, 'data')
    return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, said })) }
  }

  await t.test('explains a file that what goes is needed by', async t => {
    await kit('add', 'tea')
    writeAll(folder, { 'services/tea.ts': 'mine\n' })
    withOpenapi('exit 1')
    t.match(await kit('remove', 'tea', '--force'), { code: 1, output: /Something of yours needs what goes with tea[\s\S]*stays: services\/tea\.ts: changed[\s\S]*The tree is as it was/ })
    git('checkout', '-q', '.')
    git('clean', '-fdq')
  })

  withOpenapi('sleep 60')
  git('commit', '-qam', 'Slow')

  for (const signal of ['SIGINT', 'SIGHUP'] as const) {
    await t.test(`puts the tree back at ${signal}`, async t => {
      const { child, ended } = await beginning()
      child.kill(signal)
      const { code, said } = await ended
      t.equal(code, 1)
      t.match(said, new RegExp(`Stopped by ${signal}[\\s\\S]*The tree is as it was`))
      t.equal(git('status', '--porcelain'), '')
    })
  }

  await t.test('is one at a time, and says what one that was killed has left, and how to go on', async t => {
    const { child, ended } = await beginning()
    t.match(await kit('add', 'tea', '--force'), { code: 1, output: /`add tea` is under way \(process \d+\)/ })
    process.kill(-(child.pid ?? 0), 'SIGKILL')
    await ended
    t.match(await kit('add', 'tea'), { code: 1, output: /`add tea` was killed half-way[\s\S]*add tea --force[\s\S]*git stash -u/ })
    withOpenapi('touch generated')
    t.match(await kit('add', 'tea', '--force'), { code: 0, output: /Added tea/ }, 'goes on')
    t.ok(existsSync(join(folder, 'generated')), 'with what was not done yet')
    t.match(await kit('add', 'tea', '--force'), { code: 0, output: /there already/ })
  })
})

t.test('when a file can\'t be changed, none is', async t => {
  const folder = treeWith(t, {}, { 'recipes/tea/files/services/tea/leaf.ts': 'leaf\n', 'services/tea': 'a file\n' })
  rmSync(join(folder, 'recipes/tea/files/services/tea.ts'))
  const before = contents(folder)
  await t.rejects(carryOut(folder, planAdd(folder, 'tea'), () => {}), { name: 'RecipeError', message: /services\/tea\/leaf\.ts can't be changed: .*the tree is as it was/i })
  t.same(contents(folder), before)

  await t.test('also where a folder is in the way of a file', async t => {
    const folder = treeWith(t, {}, { 'services/tea.ts/x': '' })
    t.throws(() => planAdd(folder, 'tea'), { name: 'RecipeError', message: /services\/tea\.ts can't be read/ })
  })
})

t.test('a ledger that is none, and names of no recipe', async t => {
  for (const text of ['null', '[]', '{"tea":{}}', '{']) {
    const folder = treeWith(t, {}, { 'recipes/installed.json': text })
    t.throws(() => planRemove(folder, 'tea'), { name: 'RecipeError', message: /installed\.json can't be read/ }, text)
  }
  const folder = treeWith(t)
  for (const name of ['constructor', '__proto__', 'toString']) t.throws(() => planRemove(folder, name), { name: 'RecipeError', message: /no recipe/ }, name)
  const outside = treeWith(t, { edits: [{ file: '../x.ts', anchor: 'operations', lines: ['tea'] }] })
  t.throws(() => planAdd(outside, 'tea'), { name: 'RecipeError' })
})

t.test('each recipe of the kit fits the tree as it is', async t => {
  t.ok(recipeNames(root).length > 0)
  const present = presentIn(root)
  for (const name of recipeNames(root)) {
    const { builtIn, conflicts, files, requires } = readRecipe(root, name)
    t.ok(existsSync(join(root, 'recipes', name, 'README.md')), `${name} has a README`)
    t.ok([...builtIn ?? [], ...files.keys()].some(path => path.startsWith('test/')), `${name} has tests`)
    for (const other of requires) t.ok(recipeNames(root).includes(other), `${name} needs ${other}, which there is`)
    // What another needs, what needs another, or does not go with it, is tried in a clone alone.
    const isNeeded = [...present.values()].some(({ requires }) => requires.includes(name))
    if (present.has(name) && !isNeeded) t.same(planRemove(root, name).left, [], `all of ${name} can be taken out`)
    const isInTheWay = [...present].some(([other, { conflicts: others }]) => conflicts.includes(other) || others.includes(name))
    if (!present.has(name) && requires.every(other => present.has(other)) && !isInTheWay) t.doesNotThrow(() => planAdd(root, name), name)
  }
})

t.test('the concerns of the kit can all be taken out, and put back, in any order', async t => {
  const folder = copyOfTree(t)
  const names = recipeNames(root).filter(name => readManifest(root, name).builtIn !== undefined)
  let order: string[] = []
  const takeOut = (name: string) => {
    if (!presentIn(folder).has(name)) return
    for (const one of withNeeding(folder, name)) {
      t.same(remove(folder, one).left, [], `${one}, after ${order.join(', ') || 'none'}`)
      order.push(one)
    }
  }
  // Of recipes that were added, the order counts.
  for (const [name, { isBuiltIn }] of presentIn(folder)) if (!isBuiltIn) takeOut(name)
  // What a fork has beside them by then, where the README says that it goes.
  const own = { 'services/scopes.ts': [/(?<=const user = \[\n(?: {2}'.*',\n)*)(?=\])/, "  'things:read',\n"], 'test/operations.ts': [/(?= *\/\/ recipes: operations)/, "    'GET /things': { answers: signedIn(200) },\n"] } as const
  for (const [path, [place, line]] of Object.entries(own)) writeAll(folder, { [path]: readFileSync(join(folder, path), 'utf8').replace(place, line) })
  const before = contents(folder)
  const opposite = names.toReversed()
  for (const [outward, back] of [[names, names], [names, opposite], [opposite, names]] as const) {
    order = []
    for (const name of outward) takeOut(name)
    const putBack = (name: string) => {
      // Those that this tree is without stay out.
      if (!order.includes(name) || presentIn(folder).has(name)) return
      for (const other of readManifest(folder, name).requires) putBack(other)
      add(folder, name)
    }
    for (const name of back) putBack(name)
    t.same(contents(folder), before, `out: ${outward.join(', ')}; back: ${back.join(', ')}`)
  }
})

t.test('nothing speaks of signing in here once the issuer of tokens is out', async t => {
  const folder = copyOfTree(t)
  if (presentIn(folder).has('auth-issuer')) for (const name of withNeeding(folder, 'auth-issuer')) remove(folder, name)
  const generated = ['.env.example', 'README.md', 'client/schema.d.ts', 'openapi.json', 'openapi.released.json', 'test/kit/recipes.test.ts']
  const own = Object.entries(contents(folder)).filter(([path]) => !path.startsWith('recipes/') && !generated.includes(path))
  for (const [path, text] of own) t.notMatch(text, /\/auth\/(?:register|login|refresh|logout)|REFRESH_TOKEN_TTL|LOGIN_FAILURES|ADMIN_EMAIL|logins_total|refresh_tokens|login_throttles|docs\/sign-in/, path)
})

t.test('a concern of the kit is taken out and put back, to the byte', async t => {
  const folder = treeWith(t, {}, {
    'recipes/milk/recipe.json': JSON.stringify({ description: 'Milk', builtIn: ['plugins/milk/', 'docs/milk.md'], dependencies: { b: '1.0.0' }, scripts: { openapi: 'true' }, edits: [{ file: 'services/table.ts', with: ['  a: 1,', '  // recipes: operations'], without: ['  // recipes: operations'] }] }),
    'recipes/cup/recipe.json': JSON.stringify({ description: 'Cup', requires: ['milk'], dependencies: { b: '1.0.0' } }),
    'plugins/milk/index.ts': 'milk\n',
    'plugins/milk/cow.ts': 'cow\n',
    'docs/milk.md': '# Milk\n'
  })
  const before = contents(folder)
  add(folder, 'cup')
  t.throws(() => planRemove(folder, 'milk'), { message: /"milk" can't be removed: cup needs it\. Remove cup first/ })
  remove(folder, 'cup')
  t.same(contents(folder), before, 'what a concern of the kit needs stays with it')

  // What the fork has changed of it is not lost.
  writeAll(folder, { 'plugins/milk/cow.ts': 'two cows\n' })
  t.same(remove(folder, 'milk').left, [])
  const without = contents(folder)
  t.equal(without['services/table.ts'], 'const table = {\n  // recipes: operations\n  z: 26\n}\n')
  t.same([without['plugins/milk/cow.ts'], without['docs/milk.md'], without['recipes/milk/files/plugins/milk/cow.ts']], [undefined, undefined, 'two cows\n'])
  t.same(JSON.parse(without['package.json'] ?? '').dependencies, {})
  t.ok(planRemove(folder, 'milk').isDone)
  t.throws(() => planAdd(folder, 'cup'), { message: /needs milk\. Add milk first/ })

  const { 'package.json': _, ...put } = (add(folder, 'milk'), contents(folder))
  const { 'package.json': __, ...had } = before
  had['plugins/milk/cow.ts'] = 'two cows\n'
  t.same(put, had)
  t.ok(planAdd(folder, 'milk').isDone)
})

t.test('what two concerns have in common is there with both alone', async t => {
  const common = { file: 'services/table.ts', with: ['  a: 1,'], without: ['  a: 0,'] }
  const folder = treeWith(t, {}, {
    'recipes/milk/recipe.json': JSON.stringify({ description: 'Milk', builtIn: ['plugins/milk/'], edits: [common] }),
    'recipes/honey/recipe.json': JSON.stringify({ description: 'Honey', builtIn: ['docs/honey.md', 'plugins/milk/honey.ts'], edits: [{ file: 'plugins/milk/cow.ts', with: ['moo', 'honey'], without: ['moo'] }, common] }),
    'plugins/milk/cow.ts': 'moo\nhoney\n',
    'plugins/milk/honey.ts': 'sweet\n',
    'docs/honey.md': '# Honey\n'
  })
  const before = contents(folder)
  for (const [out, back] of [['milk', 'milk'], ['milk', 'honey'], ['honey', 'milk'], ['honey', 'honey']] as const) {
    const others = { milk: 'honey', honey: 'milk' } as const
    t.same(remove(folder, out).left, [])
    t.match(contents(folder)['services/table.ts'], /a: 0/)
    t.notOk(existsSync(join(folder, 'plugins/milk/honey.ts')))
    t.same(remove(folder, others[out]).left, [], `${out} first`)
    add(folder, back)
    t.match(contents(folder)['services/table.ts'], /a: 0/, `${back} alone`)
    t.notOk(existsSync(join(folder, 'plugins/milk/honey.ts')), `${back} alone`)
    t.equal(existsSync(join(folder, 'plugins/milk/cow.ts')) && readFileSync(join(folder, 'plugins/milk/cow.ts'), 'utf8'), back === 'milk' && 'moo\n')
    add(folder, others[back])
    t.same(contents(folder), before, `out ${out} first, back ${back} first`)
  }
})

t.test('where the fork has changed what a concern is in, the edit to make is named', async t => {
  const folder = treeWith(t, {}, {
    'recipes/milk/recipe.json': JSON.stringify({ description: 'Milk', builtIn: ['docs/milk.md'], edits: [{ file: 'services/table.ts', with: ['  a: 2,'], without: ['  a: 3,'] }] }),
    'docs/milk.md': '# Milk\n'
  })
  const { left, files } = remove(folder, 'milk')
  t.same(files, ['docs/milk.md'])
  t.match(left, [/services\/table\.ts: it is not as expected[\s\S]*a: 2,[\s\S]*become[\s\S]*a: 3,/])
  const before = contents(folder)
  t.throws(() => planAdd(folder, 'milk'), { name: 'RecipeError', message: /are not once in services\/table\.ts[\s\S]*a: 3,[\s\S]*a: 2,/ })
  t.same(contents(folder), before)
})
