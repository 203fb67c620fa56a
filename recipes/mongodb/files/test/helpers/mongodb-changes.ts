// Services that follow the changes of a collection.
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Config } from '../../plugins/config/index.ts'
import type { Change } from '../../plugins/mongodb/index.ts'
import type { Database } from '../../services/database.ts'
import { buildLogged } from './log.ts'

type Handler = (change: Change, tx: Database) => Promise<void> | void

/** A collection of its own for a test. */
export const newName = () => `things_${randomUUID().slice(0, 8)}`

/** A service that follows a collection, and writes a mail for each change, in its transaction. */
export async function following (t: Test, name: string, handler: Handler = () => {}, config: Partial<Config> = {}) {
  const extend = (fastify: FastifyInstance) => {
    fastify.after(() => fastify.mongodb.follow({
      name,
      collection: name,
      handler: async (change, tx) => {
        await tx.mail.create({ data: { id: randomUUID(), recipient: name, subject: `${change.kind} ${String(change.id)}`, text: JSON.stringify(change.document) } })
        await handler(change, tx)
      }
    }))
  }
  const { app, lines } = await buildLogged(t, { ROLE: 'all', ...config }, extend)
  return { app, lines, messages: () => lines.filter(line => line.changes === name).map(({ msg }) => msg) }
}

/** What followers have left in the database of the file, and where they are. */
export function changesIn ({ prisma }: FastifyInstance) {
  const effects = async (name: string) => (await prisma.mail.findMany({ where: { recipient: name }, orderBy: { createdAt: 'asc' } })).map(({ subject }) => subject)
  const place = async (name: string) => await prisma.changeStreamPosition.findUnique({ where: { name } })
  return { effects, place }
}
