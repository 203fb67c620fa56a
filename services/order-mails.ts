import type { PrismaClient } from '../prisma/generated/client.ts'
import { sendMail, type Mailer } from './mails.ts'

/** What it takes to mail: the database, the mail server, the job that asks and its signal. */
export interface MailJob { prisma: PrismaClient, mailer: Mailer, id: string, signal: AbortSignal }

/**
 * Confirms an order to who placed it, once a job.
 * @returns whether a mail went out; none does for an order that is gone
 */
export async function confirmOrder ({ prisma, mailer, id, signal }: MailJob, orderId: string): Promise<boolean> {
  const order = await prisma.order.findUnique({
    where: { id: orderId },
    include: { user: { select: { email: true, name: true } }, items: { orderBy: { position: 'asc' } } }
  })
  if (order === null) return false
  const lines = order.items.map(({ quantity, name, sku, unitPriceAmount }) => `${quantity} x ${name} (${sku}), ${price(unitPriceAmount, order.currency)} each`)
  const text = [
    `Hello ${order.user.name},`, '',
    'thank you for your order:', '',
    ...lines, '',
    `Total: ${price(Number(order.totalAmount), order.currency)}`,
    `Order: ${order.id}`
  ].join('\n')
  return await sendMail(prisma, mailer, id, { recipient: order.user.email, subject: `Your order ${order.id}`, text }, signal)
}

function price (amount: number, currency: string): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency, currencyDisplay: 'code' })
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
}
