// Bull Board on the queues of the settings: `npm run jobs:board`. It shows, and changes nothing: what is done to jobs goes
// through their table, by `npm run kit -- jobs`. It has no sign-in, so it is no part of the service, and only this machine
// is answered.
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import { Command, InvalidArgumentError } from 'commander'
import Fastify, { type FastifyInstance } from 'fastify'
import { withStores } from '../plugins/jobs/bullmq/admin.ts'
import type { Store } from '../plugins/jobs/bullmq/redis.ts'
import { connectionProblem } from '../prisma/migrate.ts'
import { CommandError, withDatabase } from './database.ts'
import { setting } from './jobs-schema.ts'

const HOST = '127.0.0.1'
const NAMES = new Set([HOST, 'localhost', '[::1]'])
/** Its own files, and nothing of another host: the page asks for fonts elsewhere. */
const HEADERS = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff'
}

/** The board, as it is served. */
async function board (store: Store): Promise<FastifyInstance> {
  const serverAdapter = new FastifyAdapter()
  const { replaceQueues } = createBullBoard({ queues: [], serverAdapter, options: { uiConfig: { boardTitle: 'Jobs', hideRedisDetails: true } } })
  const fastify = Fastify()
  fastify.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS)
    // A page of another site may have its name lead here.
    if (!NAMES.has(request.hostname)) return await reply.code(421).type('text/plain').send('This board is at localhost.\n')
    if (request.method !== 'GET' && request.method !== 'HEAD') return await reply.code(405).header('allow', 'GET, HEAD').type('text/plain').send('This board only shows: npm run kit -- jobs changes.\n')
    // Queues come with the first job that is sent to them.
    replaceQueues((await store.names()).map(name => new BullMQAdapter(store.queue(name), { readOnlyMode: true })))
  })
  await fastify.register(serverAdapter.registerPlugin())
  return fastify
}

/** Serves it until the process is asked to end. @throws CommandError when the port is taken */
async function serve (store: Store, port: number): Promise<void> {
  const fastify = await board(store)
  try {
    const url = await fastify.listen({ host: HOST, port })
    process.stdout.write(`The queues are at ${url}. Ctrl-C ends it.\n`)
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? new CommandError(`Port ${port} is taken: --port names another.`) : error
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  await promise
  await fastify.close()
}

const command = new Command('npm run jobs:board --')
  .description('serve Bull Board on this machine, to look at the queues')
  .option('--port <number>', 'where it listens; 0 for one that is free', readPort, 3030)
  .showHelpAfterError()
  .action(async ({ port }: { port: number }) => {
    await withDatabase(async databaseUrl => {
      await withStores({ databaseUrl, setting }, async (_sql, store) => await serve(store, port)).catch((error: Error) => {
        const problem = connectionProblem(error, databaseUrl) ?? (error.constructor === Error ? error.message : undefined)
        throw problem === undefined ? error : new CommandError(problem, { cause: error })
      })
    })
  })

function readPort (text: string): number {
  if (!/^\d+$/.test(text) || Number(text) > 65_535) throw new InvalidArgumentError('Expected a port, from 0 to 65535.')
  return Number(text)
}

await command.parseAsync()
