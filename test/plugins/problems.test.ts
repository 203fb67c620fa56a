import { readFileSync } from 'node:fs'
import t from 'tap'
import { kitProblems, problemType } from '../../plugins/errors/kinds.ts'
import { problems } from '../../routes/problems.ts'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const app = await buildApp(t)
const HTML = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
const page = (url: string, accept?: string) => app.inject({ url, headers: accept === undefined ? {} : { accept } })

t.test('every code of the tables has a page that says when it happens and what to do', async (t) => {
  for (const [code, { status, title, description }] of Object.entries({ ...kitProblems, ...problems })) {
    const response = await page(problemType(code))
    t.equal(response.statusCode, 200, code)
    t.same(response.json(), { type: problemType(code), code, status, title, description })
    t.match(description, /^[A-Z].{30,}\.$/, `${code}: a description`)
  }
})

t.test('the list has them all, by status', async (t) => {
  const { problems: list } = (await page('/problems')).json() as { problems: { code: string, status: number }[] }
  t.same(new Set(list.map(({ code }) => code)), new Set([...Object.keys(kitProblems), ...Object.keys(problems)]))
  t.same(list.map(({ status }) => status), list.map(({ status }) => status).sort())
})

t.test('every code that stands in the code of plugins and services is in a table', async (t) => {
  const files = ['plugins/errors/catalogue.ts', 'plugins/errors/database-errors.ts', 'services/errors.ts']
  const codes = files.flatMap(file => [...readFileSync(file, 'utf8').matchAll(/'([A-Z]{3,}(?:_[A-Z]+)*)'/g)].map(([, code = '']) => code))
  t.ok(codes.length > 30)
  for (const code of codes) t.ok(app.problemKinds.has(code), code)
})

t.test('the type of a problem is where its documentation is', async (t) => {
  const { type, code } = (await page('/nowhere')).json()
  t.equal((await page(type)).json().code, code)
})

t.test('an unknown code is a 404 problem', async (t) => {
  for (const url of ['/problems/no-such', '/problems/constructor']) {
    const response = await page(url, HTML)
    t.equal(response.statusCode, 404)
    t.equal(response.json().code, 'NOT_FOUND')
  }
  t.equal((await page('/problems/NOT_FOUND')).statusCode, 400, 'it is written in kebab case')
})

t.test('a browser gets a page with a strict policy, without scripts', async (t) => {
  for (const url of ['/problems', '/problems/sku-taken']) {
    const response = await page(url, HTML)
    t.equal(response.headers['content-type'], 'text/html; charset=utf-8')
    t.match(response.headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-[\w+/=]+'; base-uri 'none'/)
    t.match(response.headers.vary, /accept/i)
    t.match(response.body, /SKU_TAKEN/)
    t.notMatch(response.body, /<script|https?:/)
  }
})

t.test('JSON or a page: what Accept wants more, JSON where it does not care', async (t) => {
  const json = /^application\/json/
  const html = /^text\/html/
  const wishes: [accept: string | undefined, type: RegExp][] = [
    [undefined, json], ['*/*', json], ['application/json', json], ['text/html', html], ['text/*', html], ['TEXT/HTML;level=1', html],
    ['text/html;q=0.5, application/json', json], ['text/html;q=0.9, */*;q=0.8', html], ['text/html;q=0, */*', json], ['image/png', json], ['text/html;q=x', json], ['', json]
  ]
  for (const [accept, type] of wishes) t.match((await page('/problems/not-found', accept)).headers['content-type'], type, String(accept))
})
