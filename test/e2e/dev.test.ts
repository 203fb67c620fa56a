import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../helpers/until.ts'
import { call, copyOfCheckout, startService } from '../helpers/process.ts'

// Below a folder named test, as a checkout may be.
const folder = copyOfCheckout(t)

t.test('npm run dev serves what a changed file says, and ends with its npm', async (t) => {
  const service = await startService(t, folder, {}, 200, 'dev')
  const file = join(folder, 'routes/tags.ts')
  writeFileSync(file, readFileSync(file, 'utf8').replace("description: 'Accounts'", "description: 'Changed'"))
  await until(async () => {
    // It is away for a moment.
    const document = await call(`${service.url}/openapi.json`).catch(() => undefined)
    return document?.status === 200 && document.body.tags.some(({ description }: { description: string }) => description === 'Changed')
  })

  await service.stop('SIGTERM')
  await until(() => isFree(Number(new URL(service.url).port)))
  const again = await startService(t, folder)
  t.ok(again.url, 'it has let go of its data folder, too')
  t.equal((await again.stop()).code, 0)
})

/** Whether nothing listens on a port. */
async function isFree (port: number): Promise<boolean> {
  const probe = createServer()
  return await new Promise(resolve => probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => probe.close(() => resolve(true))))
}
