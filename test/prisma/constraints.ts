// Rows to try the constraints of the database with.
import type { Test } from 'tap'
import { cloneTemplate } from '../helpers/template.ts'
import { client } from './project.ts'

/** SQL of each column. */
export type Columns = Record<string, string>

export const id = (number: number) => `'00000000-0000-7000-8000-${String(number).padStart(12, '0')}'`
export const user = (columns: Columns = {}) => insert('users', { id: id(1), email: "'ada@example.com'", name: "'Ada'", ...columns })
export const product = (columns: Columns = {}) => insert('products', { id: id(2), sku: "'A-1'", name: "'Lamp'", description: "''", price_amount: '1', price_currency: "'EUR'", stock: '0', ...columns })

export function insert (table: string, columns: Columns): string {
  return `INSERT INTO ${table} (${Object.keys(columns).map(name => `"${name}"`).join(', ')}) VALUES (${Object.values(columns).join(', ')})`
}

/** What tries a statement on top of rows that are right, and leaves nothing: 'accepted', or the constraint that refuses it. */
export async function trier (t: Test, rows: string[]): Promise<(sql: string) => Promise<unknown>> {
  const { url, close } = await cloneTemplate()
  t.teardown(close)
  const one = await client(t, url)
  return async sql => {
    await one.query('BEGIN')
    try {
      for (const row of rows) await one.query(row)
      await one.query('SAVEPOINT rows')
      return await one.query(sql).then(() => 'accepted', (error: { constraint?: string }) => error.constraint)
    } finally {
      await one.query('ROLLBACK')
    }
  }
}
