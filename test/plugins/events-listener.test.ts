import { queryObjects } from 'node:v8'
import type { FastifyBaseLogger } from 'fastify'
import pg from 'pg'
import t from 'tap'
import { listen } from '../../plugins/events/listener.ts'
import { until } from '../helpers/until.ts'
import { freePort } from '../helpers/process.ts'

t.test('connections that failed are not kept in memory', async t => {
  let failed = 0
  const log = { warn: () => { failed++ } } as unknown as FastifyBaseLogger
  const listener = listen({ url: `postgresql://postgres@127.0.0.1:${await freePort()}/none`, schema: undefined }, () => {}, log)
  t.teardown(() => listener.close())
  await until(() => failed >= 5)
  t.ok(queryObjects(pg.Client, { format: 'count' }) < 3)
})
