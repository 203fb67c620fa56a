import { createHash } from 'node:crypto'
import type { PrismaClient } from '../prisma/generated/client.ts'

export interface Mail { recipient: string, subject: string, text: string }

/** Hands mails to a mail server. */
export interface Mailer {
  /**
   * @param mail.id names the mail for good: its Message-ID comes from it
   * @returns whether it went out; false where there is no mail server
   */
  send: (mail: Mail & { id: string }, signal: AbortSignal) => Promise<boolean>
}

/** What it takes to mail: the database, the mail server, the job that asks and its signal. */
export interface MailJob { prisma: PrismaClient, mailer: Mailer, id: string, signal: AbortSignal }

/** What became of a mail; `kept`: it is in the table mails, as there is no mail server. */
export type MailOutcome = 'sent' | 'sent before' | 'kept'

/**
 * Sends a job's mail once: when the job runs again, nothing happens. Only a process that ends, or gives
 * up, between the mail server's answer and the database's lets it go out twice, with the same Message-ID.
 * @param mail.key tells the mails of a job apart that sends several; one without it is the job's only one
 */
export async function sendMail ({ prisma, mailer, id: jobId, signal }: MailJob, { key, ...mail }: Mail & { key?: string }): Promise<MailOutcome> {
  const id = key === undefined ? jobId : keyedId(jobId, key)
  await prisma.mail.createMany({ data: [{ id, ...mail }], skipDuplicates: true })
  const { sentAt, recipient, subject, text } = await prisma.mail.findUniqueOrThrow({ where: { id } })
  if (sentAt !== null) return 'sent before'
  if (!await mailer.send({ id, recipient, subject, text }, signal)) return 'kept'
  const { count } = await prisma.mail.updateMany({ where: { id, sentAt: null }, data: { sentAt: new Date() } })
  return count === 1 ? 'sent' : 'sent before'
}

/** The id of a mail that is one of several of its job: a UUID (version 8) of the job's id and the key. */
function keyedId (jobId: string, key: string): string {
  const hex = createHash('sha256').update(`${jobId} ${key}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
