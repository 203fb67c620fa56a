import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import app from '../../app.ts'
import { settings } from '../../plugins/config/load.ts'
import { serverOptions } from '../../server.ts'
import { testConfig, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

t.test('the start says how the service is set up, and no secret', async (t) => {
  const secrets = { METRICS_TOKEN: 'a-token-for-metrics', SMTP_URL: 'smtp://mailer:hunter2@mail.example.com', WEBHOOK_SECRET: ['whsec_hunter3'] }
  const config = await testConfig({ LOG_LEVEL: 'info', PORT: 0, OTEL_EXPORTER_OTLP_ENDPOINT: `http://user:${'hunter5'}@127.0.0.1:4318`, ADMIN_PASSWORD: 'hunter4-hunter4', ...secrets })
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(JSON.parse(String(chunk)) as Record<string, unknown>); done() } })
  const options = serverOptions(config)
  const service = Fastify({ ...options, logger: { ...options.logger as object, stream } }) as unknown as FastifyInstance
  await service.register(app, { config })
  t.teardown(() => service.close())
  await service.listen({ port: 0 })

  const line = lines.find(({ msg }) => msg === 'configuration') as { config: Record<string, unknown> }
  t.match(line.config, { ROLE: 'web', DATABASE_POOL_MAX: 10, ACCESS_TOKEN_TTL: 900_000, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://[set]@127.0.0.1:4318' })
  for (const [name, { secret }] of settings) if (secret) t.ok([undefined, '[set]'].includes(line.config[name] as string), name)
  for (const name of [...Object.keys(secrets), 'ADMIN_PASSWORD', 'DATABASE_URL', 'JWT_PRIVATE_KEY']) t.equal(line.config[name], '[set]', name)
  t.notMatch(JSON.stringify(lines), /hunter\d|PRIVATE KEY|a-token-for/)
})
