import { sendMail, type MailJob, type MailOutcome } from './mails.ts'

/**
 * Confirms an order to who placed it, once a job.
 * @returns what became of the mail; there is none for an order that is gone, or cancelled by now
 */
export async function confirmOrder (job: MailJob, orderId: string): Promise<MailOutcome | 'gone' | 'cancelled'> {
  const order = await job.prisma.order.findUnique({
    where: { id: orderId },
    include: { user: { select: { email: true, name: true } }, items: { orderBy: { position: 'asc' } } }
  })
  if (order === null) return 'gone'
  if (order.status === 'cancelled') return 'cancelled'
  const lines = order.items.map(({ quantity, name, sku, unitPriceAmount }) => `${quantity} x ${name} (${sku}), ${price(unitPriceAmount, order.currency)} each`)
  const text = [
    `Hello ${order.user.name},`, '',
    'thank you for your order:', '',
    ...lines, '',
    `Total: ${price(Number(order.totalAmount), order.currency)}`,
    `Order: ${order.id}`
  ].join('\n')
  return await sendMail(job, { recipient: order.user.email, subject: `Your order ${order.id}`, text })
}

function price (amount: number, currency: string): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency, currencyDisplay: 'code' })
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
}
