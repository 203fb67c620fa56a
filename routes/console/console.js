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

/** Follows the orders; after a loss from the last event on. EventSource can't send a header: it has a ticket. */
async function follow (lastEventId) {
  try {
    const response = await authorized('/ws/tickets', { method: 'POST' })
    if (!response.ok) throw new Error('no ticket')
    const query = new URLSearchParams({ ticket: (await response.json()).ticket, ...lastEventId === undefined ? {} : { lastEventId } })
    const source = new EventSource(`/orders/events?${query}`)
    source.onopen = () => say('Live')
    source.onerror = () => {
      // The browser's own retry would bring the spent ticket.
      source.close()
      again(lastEventId)
    }
    for (const type of ['order.created', 'order.paid', 'order.shipped', 'order.cancelled']) {
      source.addEventListener(type, ({ data, lastEventId: id }) => {
        lastEventId = id
        showOrder(JSON.parse(data).order)
      })
    }
    source.addEventListener('reset', ({ lastEventId: id }) => { lastEventId = id })
  } catch {
    again(lastEventId)
  }
}

function again (lastEventId) {
  say('Connecting again …')
  setTimeout(() => follow(lastEventId), RETRY_MS)
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

function showOrder ({ id, status, items, total, updatedAt }) {
  const tr = row([id, status, items.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(', '), money(total), new Date(updatedAt).toLocaleTimeString()])
  tr.id = `order-${id}`
  tr.dataset.status = status
  element(tr.id)?.remove()
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
  const send = () => fetch(url, { ...options, headers: { authorization: `Bearer ${session.accessToken}` } })
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
