// What tests need of the server beside the service.
import { randomUUID } from 'node:crypto'
import mariadb from 'mariadb'
import type { Test } from 'tap'
import { sessionOf } from '../../prisma/mysql/session.ts'

/** A connected client that ends with the test. */
export async function client (t: Test, url: string): Promise<mariadb.Connection> {
  const made = await mariadb.createConnection({ ...sessionOf(url), bigIntAsNumber: true, timezone: 'Z' })
  made.on('error', () => {})
  t.teardown(() => made.end().catch(() => {}))
  return made
}

/** The rows of one statement on a connection of its own. */
export async function rows (url: string, sql: string): Promise<Record<string, unknown>[]> {
  const made = await mariadb.createConnection({ ...sessionOf(url), bigIntAsNumber: true, timezone: 'Z' })
  try {
    return await made.query(sql)
  } finally {
    await made.end()
  }
}

/** Another session with a transaction of its own, until the test ends. */
export async function otherSession (t: Test, url: string, sql: string): Promise<mariadb.Connection> {
  const other = await client(t, url)
  await other.query('BEGIN')
  await other.query(sql)
  return other
}

/**
 * How many transactions of a database wait for a lock. As the engine reports it: information_schema.innodb_trx is a copy,
 * which stays as it is for as long as it is read again within 100 ms.
 */
export async function waitingForLocks (url: string): Promise<number> {
  const [report] = await rows(url, 'SHOW ENGINE INNODB STATUS')
  // Behind its latest deadlock, which is long over.
  const transactions = String(report?.Status).split('\nTRANSACTIONS\n')[1] ?? ''
  const waiting = new Set([...transactions.matchAll(/^LOCK WAIT .*\n(?:.*\n)*?(?:MariaDB|MySQL) thread id (\d+)/gm)].map(([, id]) => Number(id)))
  const sessions = await rows(url, 'SELECT id FROM information_schema.processlist WHERE db = DATABASE()')
  return sessions.filter(({ id }) => waiting.has(Number(id))).length
}

/** On the server of the tests: an empty database, and a user that has no rights but on it. */
export async function plainDatabase (t: Test, server: string): Promise<string> {
  const name = `keel_test_${randomUUID().replaceAll('-', '').slice(0, 20)}`
  await rows(server, `CREATE DATABASE ${name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
  await rows(server, `CREATE USER ${name} IDENTIFIED BY 'keel'`)
  await rows(server, `GRANT ALL ON ${name}.* TO ${name}`)
  t.teardown(async () => {
    const open = await rows(server, `SELECT id FROM information_schema.processlist WHERE db = '${name}'`)
    for (const { id } of open) await rows(server, `KILL ${Number(id)}`).catch(() => {})
    await rows(server, `DROP DATABASE ${name}`)
    await rows(server, `DROP USER ${name}`)
  })
  const url = new URL(server)
  url.username = name
  url.password = 'keel'
  url.pathname = `/${name}`
  return url.href
}
