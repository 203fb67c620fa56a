import { Command } from 'commander'
import { jsonText } from '../json.ts'
import type { Route } from '../route-list.ts'

/** `routes`: who may call what. */
export const routes = new Command('routes')
  .description('list every route and who may call it, as the guard and openapi.json have it')
  .option('--json', 'as JSON, for programs')
  .action(async ({ json }: { json?: boolean }) => {
    // The whole service: other commands need neither it nor its settings.
    const { routeList } = await import('../route-list.ts')
    const list = await routeList()
    process.stdout.write(json ? jsonText(list) : table(list))
  })

/** The routes as columns of text. */
function table (list: Route[]): string {
  const rows = [['method', 'path', 'operationId', 'who may call'], ...list.map(route => [route.method, route.path, route.operationId ?? '-', callers(route)])]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0))) ?? []
  return rows.map(row => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

function callers ({ scopes }: Route): string {
  if (scopes === null) return 'public'
  return scopes.length > 0 ? scopes.join(' ') : 'any valid token'
}
