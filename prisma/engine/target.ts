// Where the engine's work goes: a server by its URL, or the embedded database,
// which is opened here when no process serves it.
import pg from 'pg'
import { explainConnection, urlProblem } from './connection.ts'
import { DataDirError, borrowEmbedded, createEphemeral } from './embedded.ts'
import { onceOnly } from './once-only.ts'
import { embeddedPlaceholder } from './owner.ts'

/** What the CLI gives: the configuration's datasource. */
export interface Datasource { url?: string, shadowDatabaseUrl?: string }

/** Names the data folder when the datasource is the embedded database of one. */
export const DATA_DIR_VARIABLE = 'KEEL_EMBEDDED_DATA_DIR'

const CONNECT_MS = 10_000

/** A way to one database, and to a scratch one beside it. */
export interface Target {
  /** The URL as it was given, for messages. */
  readonly url: string
  /** True for the embedded database, which exists whenever it is asked for. */
  readonly embedded: boolean
  /** A new connection; `closed` runs after it has ended. */
  connect: () => Promise<Link>
  connectToShadow: () => Promise<Link>
  /** Ends the connections and lets go of what was opened. */
  close: () => Promise<void>
}

/** One connection with the schema that the URL names, and its end. */
export interface Link { client: pg.Client, schema?: string, end: () => Promise<void> }

/** Makes a target of the datasource; nothing is opened before the first connection. */
export function openTarget ({ url = '', shadowDatabaseUrl }: Datasource): Target {
  const folder = process.env[DATA_DIR_VARIABLE]
  const embedded = folder !== undefined && url === embeddedPlaceholder(folder)
  let opened: ReturnType<typeof borrowEmbedded> | undefined
  const links = new Set<Link>()
  const kept = async (opening: Promise<Link>): Promise<Link> => {
    const made = await opening
    links.add(made)
    return made
  }
  return {
    url,
    embedded,
    connect: async () => await kept(link(embedded ? (await (opened ??= borrowEmbedded(folder))).url : url)),
    connectToShadow: async () => await kept(shadowDatabaseUrl ? ownShadow(shadowDatabaseUrl, url) : shadow()),
    close: async () => {
      // The engine keeps its connections for as long as it lives.
      await Promise.allSettled([...links].map(({ end }) => end()))
      await (await opened?.catch(() => undefined))?.close()
    }
  }
}

/** Why a target can't be reached: one line without secrets, with Prisma's code for it. */
export function explainTarget (error: unknown, { url }: Target): Error & { code: string } {
  const problem = error instanceof DataDirError ? undefined : explainConnection(error, url)
  const message = problem?.message ?? (error instanceof Error ? error.message : String(error))
  return Object.assign(new Error(message, { cause: error }), { code: problem?.code ?? 'P1001' })
}

/** Connects to a URL. Prisma's `schema` parameter becomes the search path. */
export async function link (url: string): Promise<Link> {
  const problem = urlProblem(url)
  if (problem) throw new Error(problem.message)
  const schema = new URL(url).searchParams.get('schema') ?? undefined
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS, application_name: 'prisma' })
  // The statement that runs is told as well; without a listener the process would end.
  client.on('error', () => {})
  await client.connect()
  if (schema !== undefined) await client.query(`SET search_path = ${client.escapeIdentifier(schema)}`)
  return { client, schema, end: onceOnly(() => client.end()) }
}

/** A shadow database in memory: no right to create databases is needed on the server. */
async function shadow (): Promise<Link> {
  const ephemeral = await createEphemeral()
  try {
    const { client, end } = await link(ephemeral.url)
    return {
      client,
      end: async () => {
        await end()
        await ephemeral.close()
      }
    }
  } catch (error) {
    await ephemeral.close()
    throw error
  }
}

/** The shadow database of the user's choice, emptied as the native engine does. */
async function ownShadow (shadowUrl: string, mainUrl: string): Promise<Link> {
  if (shadowUrl === mainUrl) throw new Error('The shadow database must not be the database itself: everything in it is dropped.')
  const shadow = await link(shadowUrl)
  const { rows } = await shadow.client.query<{ name: string }>("SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'")
  for (const { name } of rows) await shadow.client.query(`DROP SCHEMA ${shadow.client.escapeIdentifier(name)} CASCADE`)
  await shadow.client.query('CREATE SCHEMA public')
  return shadow
}
