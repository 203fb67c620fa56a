import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { call, copyOfCheckout, run, startService } from '../helpers/process.ts'

t.test('the schema changes beside a running service', async (t) => {
  const folder = copyOfCheckout(t)
  const service = await startService(t, folder)
  const schema = join(folder, 'prisma/schema.prisma')
  writeFileSync(schema, `${readFileSync(schema, 'utf8')}\nmodel Note {\n  id   String @id @default(uuid(7)) @db.Uuid\n  text String\n\n  @@map("notes")\n}\n`)

  const migrated = await run(folder, 'npx', ['prisma', 'migrate', 'dev', '--name', 'notes'])
  t.equal(migrated.code, 0, migrated.output)
  t.match(migrated.output, /migration\(s\) have been applied|_notes/)
  t.match(readFileSync(join(folder, 'prisma/generated/client.ts'), 'utf8'), /\bNote\b/, 'the client is generated')
  t.equal((await call(`${service.url}/health/ready`)).status, 200, 'the service is still well')

  const status = await run(folder, 'npx', ['prisma', 'migrate', 'status'])
  t.equal(status.code, 0, status.output)
  t.match(status.output, /up to date/)
  t.equal((await service.stop()).code, 0)

  const later = await run(folder, 'npx', ['prisma', 'migrate', 'status'])
  t.match(later.output, /up to date/, 'and without the service')
})
