import type { PrismaClient } from '../prisma/generated/client.ts'

export interface Mail { recipient: string, subject: string, text: string }

/** Hands mails to a mail server. */
export interface Mailer {
  /** @param mail.id names the mail for good: its Message-ID comes from it */
  send: (mail: Mail & { id: string }, signal: AbortSignal) => Promise<void>
}

/**
 * Sends a mail once: when it comes again under the same id, nothing happens. Only a process
 * that ends between the mail server's answer and the database's lets it go out twice, with the
 * same Message-ID.
 * @returns whether this call sent it
 */
export async function sendMail (prisma: PrismaClient, mailer: Mailer, id: string, mail: Mail, signal: AbortSignal): Promise<boolean> {
  await prisma.mail.createMany({ data: [{ id, ...mail }], skipDuplicates: true })
  const { sentAt, recipient, subject, text } = await prisma.mail.findUniqueOrThrow({ where: { id } })
  if (sentAt !== null) return false
  await mailer.send({ id, recipient, subject, text }, signal)
  const { count } = await prisma.mail.updateMany({ where: { id, sentAt: null }, data: { sentAt: new Date() } })
  return count === 1
}
