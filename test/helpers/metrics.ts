import type { FastifyInstance } from 'fastify'

/** The text of a scrape. */
export async function scrape (app: FastifyInstance, headers: Record<string, string> = {}): Promise<string> {
  return (await app.inject({ url: '/metrics', headers })).body
}

/** The value of a sample by its name and labels as they are written. */
export function valueOf (text: string, sample: string): number | undefined {
  const line = text.split('\n').find(line => line.startsWith(`${sample} `))
  return line === undefined ? undefined : Number(line.slice(sample.length).split(' ')[1])
}
