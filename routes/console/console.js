// The development console: a plain module, as the browser gets it.
// Every text goes into the page as text, never as markup.

const MAX_ROWS = 50
const STATE_MS = 2_000
const RETRY_MS = 2_000

const element = id => document.getElementById(id)
const form = element('sign-in')
let session

form.addEventListener('submit', async event => {
  event.preventDefault()
  const response = await post('/auth/login', Object.fromEntries(new FormData(form)))
  if (!response.ok) return say((await response.json()).title)
  session = await response.json()
  form.hidden = true
  document.querySelector('main').hidden = false
  follow()
  showState()
})

/**
 * Follows the orders, after a loss from where it was. The stream comes first and says from where it goes on, then
 * the orders as they are, then what has happened since: nothing falls in between. EventSource can't send a token.
 */
async function follow () {
  for (let lastEventId; ;) {
    try {
      const response = await authorized('/orders/events', { headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId } })
      if (!response.ok) throw new Error(`no stream: ${response.status}`)
      if (lastEventId !== undefined) say('Live')
      for await (const { event, id, data } of blocks(response.body)) {
        if (event === 'reset' || (lastEventId === undefined && id !== undefined)) await showOrders()
        if (event?.startsWith('order.')) showOrder(JSON.parse(data).order)
        lastEventId = id ?? lastEventId
      }
    } catch {}
    say('Connecting again …')
    await new Promise(resolve => setTimeout(resolve, RETRY_MS))
  }
}

/** The blocks of an event stream, as objects of their fields: each has at most one line of data here. */
async function * blocks (body) {
  let rest = ''
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split('\n\n')
    rest = parts.pop()
    for (const part of parts) yield Object.fromEntries(part.split('\n').map(line => line.split(/: ?(.*)/s)))
  }
}

/** The orders as they are, those that changed last on top. */
async function showOrders () {
  const response = await authorized(`/orders?limit=${MAX_ROWS}`)
  if (!response.ok) throw new Error(`no orders: ${response.status}`)
  const { items } = await response.json()
  element('orders').replaceChildren()
  for (const order of items.sort((a, b) => a.updatedAt < b.updatedAt ? -1 : 1)) showOrder(order)
  say('Live')
}

async function showState () {
  const response = await authorized('/console/state').catch(() => undefined)
  if (response?.status === 403) {
    for (const id of ['queues', 'plugins']) element(id).closest('section').hidden = true
    return
  }
  if (response?.ok) {
    const { queues, plugins } = await response.json()
    element('plugins').textContent = plugins
    element('queues').replaceChildren(...queues.map(({ name, ready, deferred, active, dead }) => row([name, ready, deferred, active, dead])))
  }
  setTimeout(showState, STATE_MS)
}

/** Shows an order, unless what is shown of it is newer: what happened while the orders were read comes as an event, too. */
function showOrder ({ id, status, items, total, updatedAt }) {
  const present = element(`order-${id}`)
  if (present?.dataset.updatedAt > updatedAt) return
  const tr = row([id, status, items.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(', '), money(total), new Date(updatedAt).toLocaleTimeString()])
  tr.id = `order-${id}`
  Object.assign(tr.dataset, { status, updatedAt })
  present?.remove()
  element('orders').prepend(tr)
  while (element('orders').children.length > MAX_ROWS) element('orders').lastElementChild.remove()
}

/** Minor units, as the currency has them: cents, yen, … */
function money ({ amount, currency }) {
  const format = new Intl.NumberFormat(undefined, { style: 'currency', currency })
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits)
}

function row (cells) {
  const tr = document.createElement('tr')
  tr.append(...cells.map(text => Object.assign(document.createElement('td'), { textContent: String(text) })))
  return tr
}

/** A request with the access token; one that has expired is renewed. */
async function authorized (url, options = {}) {
  const send = () => fetch(url, { ...options, headers: { ...options.headers, authorization: `Bearer ${session.accessToken}` } })
  const response = await send()
  if (response.status !== 401) return response
  const renewed = await post('/auth/refresh', { refreshToken: session.refreshToken })
  if (!renewed.ok) {
    location.reload()
    return response
  }
  session = await renewed.json()
  return await send()
}

async function post (url, body) {
  return await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
}

function say (text) {
  element('status').textContent = text
}
