// The development console, and EventSource and WebSocket as a browser has them.
import type { FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { bearer, buildApp, newProduct } from '../helpers/app.ts'
import { inBrowser, startBrowser } from '../helpers/browser.ts'
import { buildLogged } from '../helpers/log.ts'
import { PASSWORD, withPassword } from '../helpers/passwords.ts'

/** Of the page, in what it is given to run. */
declare const document: { title: string }
declare const location: { host: string }

const app = await buildApp(t, { NODE_ENV: 'development', ROLE: 'all' })
const url = await app.listen({ port: 0, host: '127.0.0.1' })
const admin = await withPassword(app, 'admin')
const user = await withPassword(app)
const product = await newProduct(app, { stock: 1_000, name: '<img src=x onerror=alert(1)>' })

async function place (token: string, fastify: FastifyInstance = app): Promise<string> {
  return (await fastify.inject({ method: 'POST', url: '/orders', headers: bearer(token), payload: { items: [{ productId: product.id, quantity: 2 }] } })).json().id
}

async function take (step: string, id: string, token: string): Promise<void> {
  t.equal((await app.inject({ method: 'POST', url: `/orders/${id}/${step}`, headers: bearer(token) })).statusCode, 200)
}

/** The console, in a page that fails the test when something is wrong in it. */
async function openConsole (t: Test): Promise<Page> {
  const page = await (await startBrowser(t)).newPage()
  page.on('pageerror', error => t.fail(`in the page: ${error.message}`))
  page.on('console', message => { if (/Content Security Policy/.test(message.text())) t.fail(message.text()) })
  page.on('request', request => { if (!request.url().startsWith(url)) t.fail(`the page asks for ${request.url()}`) })
  await page.goto(`${url}/console`)
  return page
}

async function signIn (page: Page, email: string): Promise<void> {
  await page.fill('[name=email]', email)
  await page.fill('[name=password]', PASSWORD)
  await page.click('button')
}

t.test('the page has a policy that lets it load its own files and no others', async t => {
  const page = await app.inject('/console')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.match(page.headers['content-security-policy'], /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/)
  t.notMatch(page.body, /<script>|style=|onclick/)
  t.match((await app.inject('/console/console.js')).headers['content-type'], /^text\/javascript/)
  t.match((await app.inject('/console/console.css')).headers['content-type'], /^text\/css/)
})

t.test('it is found with a slash behind it, too', async t => {
  t.match(await app.inject('/console/'), { statusCode: 302, headers: { location: '/console' } })
})

t.test('in development the start says where it is', async t => {
  for (const [NODE_ENV, count] of [['development', 1], ['test', 0]] as const) {
    const { app, lines } = await buildLogged(t, { NODE_ENV })
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.equal(lines.filter(({ msg }) => /^Console: http:.*\/console$/.test(msg)).length, count, NODE_ENV)
  }
})

t.test('queues and plugins are for admins', async t => {
  t.equal((await app.inject('/console/state')).statusCode, 401)
  t.equal((await app.inject({ url: '/console/state', headers: bearer(user.token) })).statusCode, 403)
  const state = await app.inject({ url: '/console/state', headers: bearer(admin.token) })
  t.match(state.json(), { queues: [{ name: 'clean-up' }, { name: 'confirm-order' }, { name: 'expire-order' }], plugins: /database/ })
})

t.test('outside development there is no console', async t => {
  const other = await buildApp(t)
  for (const path of ['', '/', '/console.js', '/state']) t.equal((await other.inject(`/console${path}`)).statusCode, 404, path)
})

t.test('in Chromium', inBrowser, async t => {
  t.test('an admin sees orders as they change, the queues and the plugins', async t => {
    const page = await openConsole(t)
    await signIn(page, admin.email)
    await page.getByText('Live').waitFor()
    const id = await place(user.token)
    await page.locator(`#order-${id}[data-status=pending]`).waitFor()
    await take('pay', id, user.token)
    await page.locator(`#order-${id}[data-status=paid]`).waitFor()
    t.equal(await page.locator(`#order-${id}`).count(), 1)
    t.match(await page.locator(`#order-${id}`).innerText(), new RegExp(`2 × ${product.sku}`))
    await page.locator('#queues tr', { hasText: 'confirm-order' }).waitFor()
    t.match(await page.locator('#plugins').innerText(), /database/)
  })

  t.test('the orders that are there already are shown at once', async t => {
    const [first, second] = [await place(user.token), await place(user.token)]
    await take('pay', first, user.token)
    const page = await openConsole(t)
    await signIn(page, user.email)
    await page.locator(`#order-${first}[data-status=paid]`).waitFor()
    t.match((await page.locator('#orders tr').evaluateAll(rows => rows.map(row => (row as unknown as { id: string }).id))).slice(0, 2), [`order-${first}`, `order-${second}`], 'those that changed last on top')
    t.match(await page.locator(`#order-${second}`).innerText(), new RegExp(`2 × ${product.sku}`))
  })

  t.test('what happens while the stream is cut is not missed, though there was no event before', async t => {
    const page = await openConsole(t)
    await signIn(page, user.email)
    await page.getByText('Live').waitFor()
    app.server.closeAllConnections()
    const id = await place(user.token)
    await page.getByText('Connecting again').waitFor()
    await page.locator(`#order-${id}`).waitFor()
    t.equal(await page.locator(`#order-${id}`).count(), 1)
  })

  t.test('at a reset the orders are read anew', async t => {
    const id = await place(user.token)
    const page = await openConsole(t)
    await signIn(page, user.email)
    await page.locator(`#order-${id}[data-status=pending]`).waitFor()
    // A database that has gone back: what it says now was never an event.
    await app.prisma.order.update({ where: { id }, data: { status: 'shipped' } })
    await app.prisma.event.deleteMany({ where: { subject: id } })
    await page.locator(`#order-${id}[data-status=shipped]`).waitFor()
  })

  t.test('a user sees their own orders alone', async t => {
    const page = await openConsole(t)
    await signIn(page, user.email)
    await page.getByText('Live').waitFor()
    const [others, own] = [await place(admin.token), await place(user.token)]
    await page.locator(`#order-${own}`).waitFor()
    t.equal(await page.locator(`#order-${others}`).count(), 0)
    t.equal(await page.locator('#queues').isVisible(), false)
  })

  t.test('a wrong password is said', async t => {
    const page = await openConsole(t)
    await page.fill('[name=email]', user.email)
    await page.fill('[name=password]', 'not the password')
    await page.click('button')
    await page.getByText('E-mail or password is wrong').waitFor()
    t.equal(await page.locator('main').isVisible(), false)
  })

  t.test('after a stream has ended it goes on where it was', async t => {
    const page = await openConsole(t)
    await signIn(page, user.email)
    await page.getByText('Live').waitFor()
    const first = await place(user.token)
    await page.locator(`#order-${first}`).waitFor()
    await page.context().setOffline(true)
    await page.context().setOffline(false)
    const second = await place(user.token)
    await page.locator(`#order-${second}`).waitFor()
    t.equal(await page.locator(`#order-${second}`).count(), 1)
  })

  t.test('EventSource follows the orders with a ticket', async t => {
    const page = await openConsole(t)
    const { ticket } = (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(user.token) })).json() as { ticket: string }
    const got = page.evaluate(ticket => new Promise<string>((resolve, reject) => {
      const source = new EventSource(`/orders/events?ticket=${ticket}`)
      source.onopen = () => { document.title = 'open' }
      source.onerror = () => reject(new Error('closed'))
      source.addEventListener('order.created', event => {
        const { data, lastEventId } = event as unknown as { data: string, lastEventId: string }
        resolve(JSON.stringify({ ...JSON.parse(data), lastEventId }))
      })
    }), ticket)
    await page.waitForFunction(() => document.title === 'open')
    const id = await place(user.token)
    const event = JSON.parse(await got)
    t.match(event, { type: 'order.created', orderId: id, order: { status: 'pending' } })
    t.equal(event.id, event.lastEventId)
  })

  t.test('WebSocket follows the orders with a ticket among its subprotocols', async t => {
    const page = await openConsole(t)
    const { ticket } = (await app.inject({ method: 'POST', url: '/ws/tickets', headers: bearer(user.token) })).json() as { ticket: string }
    const got = page.evaluate(ticket => new Promise<string>((resolve, reject) => {
      const socket = new WebSocket(`ws://${location.host}/ws`, ['keel.v1', `ticket.${ticket}`])
      socket.onopen = () => socket.send(JSON.stringify({ type: 'subscribe', topic: 'orders' }))
      socket.onclose = ({ code }) => reject(new Error(`closed ${code}`))
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data)
        if (message.type === 'subscribed') document.title = socket.protocol
        if (message.type === 'event') resolve(data)
      }
    }), ticket)
    await page.waitForFunction(() => document.title === 'keel.v1')
    const id = await place(user.token)
    t.match(JSON.parse(await got), { topic: 'orders', event: { type: 'order.created', orderId: id } })
  })
})
