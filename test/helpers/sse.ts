import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { PATIENCE_MS } from './until.ts'

/** An event as a client gets it. */
export interface ServerEvent { event: string, id: string, data: string }

/** A client of an event stream, as the standard says: what came, and from where it would resume. */
export interface EventClient {
  response: Response
  events: ServerEvent[]
  /** The last id that was sent, with an event or without. */
  lastEventId: () => string
  /** Every value of `retry:`, in milliseconds. */
  retries: number[]
  comments: () => number
  /** All that came, as it came. */
  text: () => string
  /** Waits until so many events are there. */
  until: (count: number) => Promise<ServerEvent[]>
  /** Waits until the service ends the stream; rejects when the connection is cut. */
  ended: Promise<void>
  close: () => void
}

/** Opens a stream, with a token or with a ticket in the URL. Ends with the test. */
export async function openEvents (t: Test, url: string, { token, lastEventId, headers }: { token?: string, lastEventId?: string, headers?: Record<string, string> }): Promise<EventClient> {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const response = await fetch(url, {
    headers: { ...token === undefined ? {} : { authorization: `Bearer ${token}` }, ...lastEventId === undefined ? {} : { 'last-event-id': lastEventId }, ...headers },
    signal: abort.signal
  })
  const events: ServerEvent[] = []
  const retries: number[] = []
  let [text, rest, id, comments] = ['', '', '', 0]

  function take (block: string): void {
    const event: ServerEvent = { event: 'message', id, data: '' }
    for (const line of block.split('\n')) {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
      if (name === '') comments++
      else if (name === 'id') event.id = id = value
      else if (name === 'retry') retries.push(Number(value))
      else if (name === 'event') event.event = value
      else if (name === 'data') event.data += value
      else throw new Error(`no field of an event: ${line}`)
    }
    if (event.data !== '') events.push(event)
  }

  async function read (): Promise<void> {
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      const chunk = decoder.decode(bytes as Uint8Array, { stream: true })
      text += chunk
      const blocks = (rest + chunk).split('\n\n')
      rest = blocks.pop() ?? ''
      blocks.forEach(take)
    }
  }

  const ended = read()
  ended.catch(() => {})
  return {
    response,
    events,
    retries,
    ended,
    lastEventId: () => id,
    comments: () => comments,
    text: () => text,
    until: async count => {
      for (let [seen, since] = [-1, 0]; events.length < count; await sleep(5)) {
        if (events.length > seen) [seen, since] = [events.length, performance.now()]
        else if (performance.now() - since > PATIENCE_MS) throw new Error(`${events.length} of ${count} events came, and no more: ${text.slice(-500)}`)
      }
      return events
    },
    close: () => abort.abort()
  }
}
