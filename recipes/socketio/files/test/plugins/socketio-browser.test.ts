// Socket.IO in a browser.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { inBrowser, startBrowser } from '../helpers/browser.ts'
import { connect, urlOf, type Client } from '../helpers/socketio.ts'
import { listening, tokenOf } from '../helpers/socketio-service.ts'

t.test('from a browser', inBrowser, async t => {
  const app = await listening(t)
  const browser = await startBrowser(t)
  const tab = await browser.newPage({ bypassCSP: true })
  await tab.goto(`${urlOf(app)}/health/live`)
  await tab.addScriptTag({ content: readFileSync('node_modules/socket.io-client/dist/socket.io.min.js', 'utf8') })
  const id = randomUUID()
  const other: Client = await connect(t, urlOf(app), tokenOf(app))
  await other.ask('chat.enter', { room: 'a' })
  const answer = await tab.evaluate(async token => {
    const { io } = globalThis as unknown as { io: (options: object) => { once: (name: string, listener: (data: unknown) => void) => void, emitWithAck: (name: string, data: object) => Promise<unknown> } }
    const socket = io({ transports: ['websocket'], auth: { token } })
    const welcome = await new Promise(resolve => { socket.once('welcome', resolve) })
    await socket.emitWithAck('chat.enter', { room: 'a' })
    const message = new Promise(resolve => { socket.once('chat.message', resolve) })
    await socket.emitWithAck('chat.say', { room: 'a', text: 'from a browser' })
    return { welcome, message: await message }
  }, tokenOf(app, id))
  t.match(answer, { welcome: { userId: id }, message: { from: id, text: 'from a browser' } })
  t.match(await other.until('chat.message'), [{ from: id, text: 'from a browser' }])
})
