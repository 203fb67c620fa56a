import { Command, InvalidArgumentError } from 'commander'
import pg from 'pg'
import { connectionProblem } from '../../prisma/migrate.ts'
import { CommandError, withDatabase } from '../database.ts'

type Query = <Row extends object>(sql: string, values?: unknown[]) => Promise<Row[]>

interface Consumer { name: string, position: string, behind: number, failing: number, setAside: number }
interface Failure { consumer: string, position: string, type: string, subject: string, failedAt: Date, error: string | null, isDue: boolean }

const CONNECT_TIMEOUT_MS = 15_000
const NOT_MIGRATED = new Set(['42P01', '42703'])

/** `events`: the durable consumers of the event log, and what they could not handle. */
export const events = new Command('events').description('the durable consumers of the domain events')

events.command('list')
  .description('show how far each consumer is, and the events that were set aside')
  .option('--json', 'as JSON, for programs')
  .action(async ({ json }: { json?: boolean }) => {
    await ask(async query => {
      const consumers = await query<Consumer>(`
        SELECT name, position::text, attempts AS failing,
          (SELECT count(*)::int FROM events WHERE events.position > event_consumers.position) AS behind,
          (SELECT count(*)::int FROM event_failures WHERE consumer = name) AS "setAside"
        FROM event_consumers ORDER BY name`)
      const failures = await query<Failure>(`
        SELECT consumer, position::text, type, subject, failed_at AS "failedAt", error, is_due AS "isDue"
        FROM event_failures ORDER BY consumer, event_failures.position`)
      say(json ? JSON.stringify({ consumers, failures }, null, 2) : [...consumers.map(consumerLine), ...failures.map(failureLine)].join('\n') || 'There is no consumer.')
    })
  })

events.command('retry')
  .description('let the workers handle again what was set aside; what waits behind it follows')
  .argument('<consumer>', 'its name')
  .argument('[position]', 'of one event; all without it', positionOf)
  .action(async (consumer: string, position: string | undefined) => {
    await ask(async query => {
      await need(query, consumer)
      const retried = await query('UPDATE event_failures SET is_due = true WHERE consumer = $1 AND NOT is_due AND ($2::bigint IS NULL OR position = $2) RETURNING 1', [consumer, position ?? null])
      say(`${retried.length} of ${consumer} will be handled again.`)
    })
  })

events.command('drop')
  .description('forget a consumer that no longer exists, and what it had set aside: it holds back the trimming of the log')
  .argument('<consumer>', 'its name')
  .action(async (consumer: string) => {
    await ask(async query => {
      await need(query, consumer)
      await query('DELETE FROM event_consumers WHERE name = $1', [consumer])
      say(`${consumer} is forgotten. If it is still in the code, it begins anew at the next start.`)
    })
  })

function consumerLine ({ name, position, behind, failing, setAside }: Consumer): string {
  return `${name}  at ${position}, ${behind} behind, ${setAside} set aside${failing > 0 ? `, the next has failed ${failing} times` : ''}`
}

function failureLine ({ consumer, position, type, subject, failedAt, error, isDue }: Failure): string {
  const state = error === null ? 'waits for an earlier one of its subject' : isDue ? `is tried again; failed before: ${error}` : error
  return `  ${consumer} ${position}  ${type} ${subject}  ${failedAt.toISOString()}  ${state}`
}

function positionOf (text: string): string {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('It is a whole number: see npm run kit -- events list.')
  return text
}

async function need (query: Query, consumer: string): Promise<void> {
  const [found] = await query('SELECT 1 FROM event_consumers WHERE name = $1', [consumer])
  if (!found) throw new CommandError(`There is no consumer '${consumer}': see npm run kit -- events list.`)
}

/** Lets `work` ask the database of the settings; what goes wrong is said in a line. */
async function ask (work: (query: Query) => Promise<void>): Promise<void> {
  await withDatabase(async url => {
    const schema = new URL(url).searchParams.get('schema')
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, ...schema === null ? {} : { options: `-c search_path=${schema}` } })
    client.on('error', () => {})
    try {
      await client.connect()
      await work(async <Row extends object>(sql: string, values?: unknown[]) => (await client.query<Row>(sql, values)).rows)
    } catch (error) {
      if (error instanceof CommandError) throw error
      const said = connectionProblem(error, url) ?? (NOT_MIGRATED.has((error as pg.DatabaseError).code ?? '') ? 'The database lacks migrations: run npm run db:migrate.' : undefined)
      throw said === undefined ? error : new CommandError(said)
    } finally {
      await client.end().catch(() => {})
    }
  })
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}
