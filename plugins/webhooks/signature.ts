import { createHash, createHmac } from 'node:crypto'

const PREFIX = 'whsec_'

/**
 * Signs a message by the Standard Webhooks specification (symmetric, v1), once with each secret.
 * @param timestamp seconds since 1970
 * @returns the value of webhook-signature
 */
export function sign (secrets: string[], id: string, timestamp: number, body: string): string {
  return secrets.map(secret => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
  }).join(' ')
}

/**
 * The id of an event's delivery to a URL, always the same: what receivers tell doubles by. It is a
 * UUID (version 8) that begins with the position, so that ids sort as the events do.
 */
export function deliveryId (position: bigint, json: string, url: string): string {
  const bytes = createHash('sha256').update(`${url}\n${json}`).digest().subarray(0, 16)
  bytes.writeUIntBE(Number(BigInt.asUintN(48, position)), 0, 6)
  bytes.writeUInt8(bytes.readUInt8(6) & 0x0f | 0x80, 6)
  bytes.writeUInt8(bytes.readUInt8(8) & 0x3f | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
