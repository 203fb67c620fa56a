import { Command, InvalidArgumentError, Option } from 'commander'
import { STATES, type JobAdmin, type ListQuery, type ListedJob, type Outcome } from '../../plugins/jobs/admin.ts'
import { driver } from '../../plugins/jobs/chosen.ts'
import { DataDirError } from '../../prisma/engine/embedded.ts'
import { connectionProblem } from '../../prisma/migrate.ts'
import { CommandError, withDatabaseUrl } from '../database.ts'
import { setting } from '../jobs-schema.ts'
import { jsonText } from '../json.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const MAX_LIMIT = 10_000
const REASON_WIDTH = 100

const list = new Command('list')
  .description('list jobs: dead ones first, then those that run, wait or are cancelled, each newest first; with --state any others')
  .option('--queue <name>', 'of this queue only')
  .addOption(new Option('--state <state>', 'in this state only').choices([...STATES]))
  .option('--limit <number>', 'this many at the most', readLimit, 50)
  .option('--json', 'as JSON, with payload and request id, for programs')
  .action(async ({ json, ...query }: ListQuery & { json?: boolean }) => {
    await onJobs(async admin => {
      const { jobs, total } = await admin.list(query)
      process.stdout.write(json ? jsonText(jobs) : jobs.length === 0 ? 'No such jobs.\n' : table(jobs))
      if (jobs.length < total) process.stderr.write(`${jobs.length} of ${total}: --limit shows more, --state and --queue others.\n`)
    })
  })

const retry = new Command('retry')
  .description('have dead or cancelled jobs run again, and those that wait for their next attempt at once')
  .argument('[id...]', 'ids, as list shows them', readIds)
  .option('--queue <name>', 'with --all: of this queue')
  .option('--all', 'every dead job of the queue')
  .action(async (ids: string[], { queue, all }: { queue?: string, all?: boolean }, command: Command) => {
    const wantsAll = queue !== undefined && all === true
    if ((ids.length > 0) === wantsAll || (queue !== undefined) !== (all === true)) command.error('error: give ids, or --queue NAME --all')
    await onJobs(async admin => report(await admin.retry(wantsAll ? await admin.dead(queue) : ids)))
  })

const cancel = new Command('cancel')
  .description('take jobs that have not ended off their queues')
  .argument('<id...>', 'ids, as list shows them', readIds)
  .action(async (ids: string[]) => await onJobs(async admin => report(await admin.cancel(ids))))

const drop = new Command('drop')
  .description('forget a queue that no longer exists in the code: its schedule, the jobs that wait, the dead ones')
  .argument('<queue>', 'its name')
  .action(async (queue: string) => {
    await onJobs(async admin => {
      const count = await admin.drop(queue)
      process.stdout.write(`${queue} is forgotten, its schedule and what waited or was dead (${count}). If it is still in the code, it begins anew at the next start.\n`)
    })
  })

/** `jobs`: inspect, retry, cancel, drop. */
export const jobs = new Command('jobs').description('list background jobs, retry and cancel them, forget queues; on DATABASE_URL or the embedded database')
for (const command of [list, retry, cancel, drop]) jobs.addCommand(command)

async function onJobs (use: (admin: JobAdmin) => Promise<void>): Promise<void> {
  try {
    await withDatabaseUrl(async url => {
      await driver.admin({ databaseUrl: url, setting }, use).catch(error => {
        // Its words may be anything, such as a queue's name.
        if (error instanceof CommandError) throw error
        throw new CommandError(connectionProblem(error, url) ?? said(error), { cause: error })
      })
    })
  } catch (error) {
    process.stderr.write(`${said(error)}\n`)
    process.exitCode = 1
  }
}

/** The words of an error that is expected; any other is a fault of ours and has a stack. */
function said (error: unknown): string {
  const isExpected = error instanceof DataDirError || error instanceof CommandError || (error instanceof Error && error.cause === undefined && error.constructor === Error)
  return isExpected ? error.message : String(error instanceof Error ? error.stack : error)
}

function report (outcomes: Outcome[]): void {
  for (const { id, done, problem } of outcomes) (problem === undefined ? process.stdout : process.stderr).write(`${id} ${done ?? `was left alone: ${problem}`}\n`)
  if (outcomes.length === 0) process.stdout.write('No such jobs.\n')
  if (outcomes.some(({ problem }) => problem !== undefined)) process.exitCode = 1
}

function table (jobs: ListedJob[]): string {
  const rows = [['id', 'queue', 'state', 'attempts', 'created', 'starts', 'reason'], ...jobs.map(({ id, queue, state, attempts, createdAt, startAfter, reason }) =>
    [id, queue, state, String(attempts), when(createdAt), startAfter === null ? '-' : when(startAfter), (reason ?? '-').replaceAll(/\s+/g, ' ').slice(0, REASON_WIDTH)])]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0))) ?? []
  return rows.map(row => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

function when (date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ')
}

function readLimit (text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > MAX_LIMIT) throw new InvalidArgumentError(`Expected a whole number from 1 to ${MAX_LIMIT}.`)
  return Number(text)
}

function readIds (text: string, before: string[] | undefined): string[] {
  if (!UUID.test(text)) throw new InvalidArgumentError('Expected an id as list shows it.')
  return [...before ?? [], text.toLowerCase()]
}
