// GraphiQL, in development: in a browser, and from nowhere but this service.
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { bearer, buildApp, newProduct, registered } from '../helpers/app.ts'
import { inBrowser, startBrowser } from '../helpers/browser.ts'

const app = await buildApp(t, { NODE_ENV: 'development' })
const url = await app.listen({ port: 0, host: '127.0.0.1' })
const user = await registered(app)
const product = await newProduct(app, { name: 'A lamp for GraphiQL' })

/** GraphiQL, in a page that fails the test when something is wrong in it, or asks anybody else. */
async function openPage (t: Test): Promise<Page> {
  const page = await (await startBrowser(t)).newPage()
  page.on('pageerror', error => t.fail(`in the page: ${error.message}`))
  page.on('console', message => { if (/Content Security Policy/.test(message.text())) t.fail(message.text()) })
  const isOwn = (address: string) => address.startsWith(url) || address.startsWith(url.replace('http', 'ws')) || address.startsWith('data:')
  page.on('request', request => { if (!isOwn(request.url())) t.fail(`the page asks for ${request.url()}`) })
  page.on('websocket', socket => { if (!isOwn(socket.url())) t.fail(`the page connects to ${socket.url()}`) })
  await page.goto(`${url}/graphiql`)
  await page.locator('.graphiql-query-editor .CodeMirror').waitFor()
  return page
}

/** Writes into an editor and runs what is in the query's. */
async function run (page: Page, query: string, headers?: object): Promise<void> {
  const write = async (editor: string, text: string) => {
    await page.locator(`${editor} .CodeMirror`).evaluate((element, value) => (element as unknown as { CodeMirror: { setValue: (text: string) => void } }).CodeMirror.setValue(value), text)
  }
  if (headers) await write('.graphiql-editor-tool .graphiql-editor:not(.hidden)', JSON.stringify(headers))
  await write('.graphiql-query-editor', query)
  await page.locator('.graphiql-execute-button').click()
}

const result = (page: Page, text: string | RegExp) => page.locator('.result-window', { hasText: text }).waitFor()

t.test('the page has a policy that lets it load its own files and no others', async t => {
  const page = await app.inject('/graphiql')
  t.match(page, { statusCode: 200, headers: { 'content-type': /^text\/html/, 'content-security-policy': /^default-src 'none'; script-src 'self'; .*connect-src 'self'/ } })
  t.notMatch(page.body, /<script>|style=|onclick|https?:/)
  const files = [...page.body.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = '']) => path)
  t.equal(files.length, 7)
  for (const file of files) t.equal((await app.inject(file)).statusCode, 200, file)
  t.match(await app.inject('/graphiql/'), { statusCode: 302, headers: { location: '/graphiql' } })
})

t.test('outside development it is not there', async t => {
  const other = await buildApp(t)
  for (const path of ['', '/', '/graphiql.js', '/start.js']) t.equal((await other.inject(`/graphiql${path}`)).statusCode, 404, path)
})

t.test('in Chromium', inBrowser, async t => {
  t.test('a query is run, and the schema is known to the editor', async t => {
    const page = await openPage(t)
    await run(page, '{ products(first: 1) { nodes { name } } }')
    await result(page, 'A lamp for GraphiQL')
    await page.locator('.graphiql-sidebar button').first().click()
    await page.locator('.graphiql-doc-explorer', { hasText: 'Query' }).waitFor()
    t.pass()
  })

  t.test('with a token in its headers one is somebody', async t => {
    const page = await openPage(t)
    await run(page, '{ me { email } }')
    await result(page, 'UNAUTHORIZED')
    await run(page, '{ me { email } }', bearer(user.token))
    await result(page, user.email)
    t.pass()
  })

  t.test('a subscription shows what happens', async t => {
    const page = await openPage(t)
    await run(page, 'subscription { orderUpdates { ... on OrderEvent { type orderId } } }', bearer(user.token))
    while (app.events.subscribers === 0) await new Promise(resolve => setTimeout(resolve, 10))
    const { id } = (await app.inject({ method: 'POST', url: '/orders', headers: bearer(user.token), payload: { items: [{ productId: product.id, quantity: 1 }] } })).json()
    await result(page, id)
    t.pass()
  })
})
