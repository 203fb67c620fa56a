// The server in front of PGlite's one backend session: many clients, each by itself.
import { connect } from 'node:net'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { createEphemeral } from '../../prisma/engine/embedded.ts'
import { message, query, SYNC } from '../../prisma/engine/wire.ts'
import { client } from './project.ts'

const { url, close } = await createEphemeral()
t.teardown(close)

const several = (number: number) => Array.from({ length: number }, (_, at) => at)

/** A connection that says what the test wants, byte by byte. */
async function raw () {
  const socket = connect(`${decodeURIComponent(new URL(url).hostname)}/.s.PGSQL.5432`)
  let received = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => { received = Buffer.concat([received, chunk]) }).on('error', () => {})
  await once(socket, 'connect')
  const until = async (part: string | Buffer): Promise<Buffer> => {
    while (!received.includes(part)) await once(socket, 'data')
    const all = received
    received = Buffer.alloc(0)
    return all
  }
  const words = Buffer.from('user\0postgres\0database\0postgres\0\0')
  const head = Buffer.alloc(8)
  head.writeInt32BE(words.length + 8)
  head.writeInt32BE(3 << 16, 4)
  const greet = async () => {
    socket.write(Buffer.concat([head, words]))
    await until(message('Z', 'I'))
  }
  return { socket, until, greet }
}

const int16 = (...numbers: number[]) => Buffer.concat(numbers.map(number => Buffer.from([number >> 8, number & 255])))
const parse = (name: string, sql: string) => message('P', `${name}\0${sql}\0`, int16(0))
const bind = (name: string) => message('B', `\0${name}\0`, int16(0, 0, 0))
const EXECUTE = message('E', '\0', Buffer.alloc(4))
const FLUSH = message('H')

t.test('statements of concurrent clients keep apart', async (t) => {
  const clients = await Promise.all(several(8).map(() => client(t, url)))
  await Promise.all(clients.map(async (client, at) => {
    for (const round of several(40)) {
      const value = `${at}.${round}`
      const columns = several(at + 1).map(column => `$1::text || '.${column}' AS "c${at}_${column}"`).join(', ')
      const named = round % 2 === 0 ? { name: 'same' } : {}
      const { rows: [row] } = await client.query<Record<string, string>>({ text: `SELECT ${columns}`, values: [value], ...named })
      t.strictSame(row, Object.fromEntries(several(at + 1).map(column => [`c${at}_${column}`, `${value}.${column}`])))
    }
  }))
})

t.test('an unnamed statement waits for its owner\'s Bind while others run theirs', async (t) => {
  const other = await client(t, url)
  const { socket, until, greet } = await raw()
  t.teardown(() => { socket.destroy() })
  await greet()
  // The messages of one batch arrive one by one, as a pooler or a slow link delivers them.
  socket.write(Buffer.concat([parse('', "SELECT 'mine'"), FLUSH]))
  await until(message('1'))
  const others = other.query("SELECT $1 || 's'", ['other'])
  socket.write(bind(''))
  socket.write(EXECUTE)
  socket.write(SYNC)
  t.match(String(await until(message('Z', 'I'))), 'mine')
  t.strictSame((await others).rows, [{ '?column?': 'others' }])
})

t.test('an error ends a batch, and neither the client nor the next one', async (t) => {
  const { socket, until, greet } = await raw()
  t.teardown(() => { socket.destroy() })
  await greet()
  socket.write(Buffer.concat([parse('', 'SELECT nonsense'), FLUSH]))
  await until('42703')
  // Ignored up to a Sync, as PostgreSQL does.
  socket.write(query('SELECT 1'))
  await until(message('Z', 'I'))
  socket.write(query("SELECT 'again'"))
  t.match(String(await until(message('Z', 'I'))), 'again')
  t.strictSame((await (await client(t, url)).query('SELECT 1 AS one')).rows, [{ one: 1 }])
})

t.test('transactions run one after the other and see nothing of each other', async (t) => {
  const clients = await Promise.all(several(6).map(() => client(t, url)))
  await clients[0]!.query('CREATE TABLE counter (value int); INSERT INTO counter VALUES (0)')
  await Promise.all(clients.map(async (client) => {
    for (let round = 0; round < 10; round++) {
      await client.query('BEGIN')
      const { rows } = await client.query<{ value: number }>('SELECT value FROM counter')
      await client.query('UPDATE counter SET value = $1', [rows[0]!.value + 1])
      await client.query('COMMIT')
    }
  }))
  t.strictSame((await clients[0]!.query('SELECT value FROM counter')).rows, [{ value: 60 }], 'no update is lost')

  const [one, two] = clients as [pg.Client, pg.Client]
  await one.query('BEGIN')
  await one.query('UPDATE counter SET value = -1')
  let seen: unknown
  const waiting = two.query('SELECT value FROM counter').then(({ rows }) => { seen = rows })
  await one.query('SELECT 1')
  t.equal(seen, undefined, 'the other waits')
  await one.query('ROLLBACK')
  await waiting
  t.strictSame(seen, [{ value: 60 }])
})

t.test('a client that dies in a transaction is rolled back', async (t) => {
  const [dying, staying] = await Promise.all([client(t, url), client(t, url)])
  await staying.query('CREATE TABLE kept (value int)')
  await dying.query('BEGIN')
  await dying.query('INSERT INTO kept VALUES (1)')
  const counted = staying.query('SELECT count(*)::int AS count FROM kept')
  ;(dying as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy()
  t.strictSame((await counted).rows, [{ count: 0 }])
})

t.test('a notification reaches every client that listens', async (t) => {
  const [first, second, sender, deaf] = await Promise.all(several(4).map(() => client(t, url))) as [pg.Client, pg.Client, pg.Client, pg.Client]
  const heard: string[] = []
  for (const [name, listener] of Object.entries({ first, second, deaf })) listener.on('notification', ({ channel, payload }) => { heard.push(`${name} ${channel} ${payload}`) })
  await first.query('LISTEN news')
  await second.query('LISTEN news')
  await second.query('LISTEN "Other News"')
  await deaf.query('LISTEN news')
  await deaf.query('UNLISTEN news')
  const arrived = Promise.all([once(first, 'notification'), once(second, 'notification')])
  await sender.query("NOTIFY news, 'one'")
  await arrived
  const other = once(second, 'notification')
  await sender.query('SELECT pg_notify($1, $2)', ['Other News', 'two'])
  await other
  await Promise.all([first, second, deaf].map(listener => listener.query('SELECT 1')))
  t.strictSame(heard.sort(), ['first news one', 'second Other News two', 'second news one'])
  await second.end()
  const again = once(first, 'notification')
  await sender.query("NOTIFY news, 'three'")
  await again
  t.equal(heard.at(-1), 'first news three', 'one that leaves takes nobody else\'s subscription with it')
})

t.test('a notification is sent with the commit, or not at all', async (t) => {
  const [listener, sender] = await Promise.all([client(t, url), client(t, url)])
  const heard: (string | undefined)[] = []
  listener.on('notification', ({ payload }) => { heard.push(payload) })
  await listener.query('LISTEN changes')
  for (const [payload, end] of [['dropped', 'ROLLBACK'], ['kept', 'COMMIT']] as const) {
    await sender.query('BEGIN')
    await sender.query('SELECT pg_notify($1, $2)', ['changes', payload])
    await sender.query(end)
  }
  await listener.query('SELECT 1')
  t.strictSame(heard, ['kept'])
})

t.test('a session\'s advisory lock makes the others wait', async (t) => {
  const [holder, waiter, third] = await Promise.all(several(3).map(() => client(t, url))) as [pg.Client, pg.Client, pg.Client]
  const order: string[] = []
  await holder.query('SELECT pg_advisory_lock(72707369)')
  const waited = waiter.query('SELECT pg_advisory_lock(72707369)').then(() => { order.push('waiter') })
  await third.query('SELECT 1')
  order.push('holder')
  await holder.query('SELECT pg_advisory_unlock(72707369)')
  await waited
  t.strictSame(order, ['holder', 'waiter'])
  const next = third.query('SELECT pg_advisory_lock(72707369)')
  await waiter.end()
  await next
  t.pass('a client that leaves lets go of its lock')
})

t.test('settings stay with the client that made them', async (t) => {
  const [one, two] = await Promise.all([client(t, url), client(t, url)])
  const path = async (client: pg.Client) => (await client.query<{ search_path: string }>('SHOW search_path')).rows[0]!.search_path
  const usual = await path(two)
  await one.query('SET search_path = pg_catalog, "Odd name"')
  await one.query("SELECT set_config('keel.tenant', $1, false)", ['acme'])
  t.equal(await path(two), usual, 'another client at the same time')
  t.equal((await two.query("SELECT current_setting('keel.tenant', true) AS tenant")).rows[0].tenant || null, null)
  t.equal(await path(one), 'pg_catalog, "Odd name"', 'and they are still there')
  t.equal((await one.query("SELECT current_setting('keel.tenant') AS tenant")).rows[0].tenant, 'acme')
  await one.query('SET ROLE pg_monitor')
  await one.end()
  const three = await client(t, url)
  t.equal(await path(three), usual, 'the next client')
  t.equal((await three.query('SELECT current_user AS me')).rows[0].me, 'postgres')
})

t.test('COPY FROM STDIN, which would end PGlite, is refused', async (t) => {
  const one = await client(t, url)
  await one.query('CREATE TABLE copied (value text)')
  await t.rejects(one.query('COPY copied FROM STDIN'), { code: '0A000' })
  await t.rejects(one.query({ text: 'copy copied (value)\nfrom stdin with (format csv)', values: [] }), { code: '0A000' })
  await one.query("INSERT INTO copied VALUES ('a copy from stdin')")
  t.strictSame((await one.query('SELECT value FROM copied')).rows, [{ value: 'a copy from stdin' }])
})

t.test('what is no message harms nobody', async (t) => {
  const witness = await client(t, url)
  const bodies = ['', '\0', 'a\0b\0\0\0', 'SELECT 1', 'S', '\x07\x80\xff\xfe12345'].map(text => Buffer.from(text, 'latin1'))
  const attempts = [
    ...[...'QPBEDCHdcfFpz\0'].flatMap(type => bodies.map(body => ({ greeted: true, bytes: Buffer.concat([message(type, body), SYNC]) }))),
    ...[Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(64), Buffer.from([255, 255, 255, 255, 0]), randomBytes(256)].flatMap(bytes => [{ greeted: false, bytes }, { greeted: true, bytes }])
  ]
  for (const { greeted, bytes } of attempts) {
    const { socket, greet } = await raw()
    if (greeted) await greet()
    await new Promise(resolve => socket.write(bytes, resolve))
    socket.end()
    t.strictSame((await witness.query('SELECT $1::text AS alive', ['yes'])).rows, [{ alive: 'yes' }])
    socket.destroy()
  }
})

t.test('only the one database is there', async (t) => {
  const elsewhere = new URL(url)
  elsewhere.pathname = '/elsewhere'
  await t.rejects(new pg.Client({ connectionString: elsewhere.href }).connect(), { code: '3D000' })
})
