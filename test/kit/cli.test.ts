import t from 'tap'
import { runKit } from '../helpers/process.ts'

const kit = (...words: string[]) => runKit(words)

t.test('the commands are listed, each with its options', async (t) => {
  const help = await kit('--help')
  t.equal(help.code, 0)
  t.match(help.output, /Usage: npm run kit -- [^]*routes/)
  const { code, output } = await kit('routes', '--help')
  t.equal(code, 0)
  t.match(output, /--json/)
})

t.test('what it does not know is named, and the exit status is 1', async (t) => {
  const bad: [words: string[], said: RegExp][] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['route'], /Did you mean routes\?/],
    [['--bogus'], /unknown option '--bogus'/],
    [['routes', '--bogus'], /unknown option '--bogus'/],
    [['routes', '--json=yes'], /--json/],
    [['routes', 'extra'], /too many arguments[^]*extra/],
    [[], /Usage: /]
  ]
  for (const [words, said] of bad) {
    const { code, output } = await kit(...words)
    t.equal(code, 1, words.join(' '))
    t.match(output, said)
    t.match(output, /npm run kit -- /, 'how to go on')
    t.notMatch(output, /\n +at /, 'no stack')
  }
})

t.test('routes shows who may call what, for people and for programs', async (t) => {
  const { code, output } = await kit('routes')
  t.equal(code, 0)
  t.match(output, /^method +path +operationId +who may call\n/)
  t.match(output, /\nGET +\/products +listProducts +public\n/)
  t.match(output, /\nGET +\/users\/me +getOwnUser +any valid token\n/)
  t.match(output, /\nPOST +\/products +createProduct +products:write\n/)
  const json = await kit('routes', '--json')
  t.equal(json.code, 0)
  t.equal(JSON.parse(json.output).length, output.trim().split('\n').length - 1)
  t.same(JSON.parse(json.output).find(({ operationId }: { operationId: string }) => operationId === 'updateProduct'), { method: 'PATCH', path: '/products/:id', operationId: 'updateProduct', public: false, scopes: ['products:write'] })
})
