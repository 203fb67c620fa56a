import { Type, type Static } from 'typebox'
import { bytes, duration, integer, keysUrl, originList, pem, secureUrlList, text, trustList, url, webhookSecrets } from './values.ts'

const MiB = 1024 * 1024

/**
 * Every setting of the service: name, shape, meaning and default.
 * The keys are the names of the environment; `.env.example` and the table in
 * the README are generated from here. Durations are milliseconds once read.
 */
export const ConfigSchema = Type.Object({
  NODE_ENV: text('development, test or production', { enum: ['development', 'test', 'production'], default: 'development' }),
  HOST: text('Address to listen on; 0.0.0.0 in production', { default: '127.0.0.1', production: '0.0.0.0' }),
  PORT: integer('TCP port to listen on; 0 picks a free one', { minimum: 0, maximum: 65535, default: 3000 }),
  ROLE: text('What this process does: web serves requests, worker runs background jobs, all does both', { enum: ['all', 'web', 'worker'], default: 'all' }),
  LOG_LEVEL: text('Least level that is logged', { enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], default: 'info' }),
  DATABASE_URL: Type.Optional(url('PostgreSQL 14 to 18; without it, outside production, the embedded database', { protocols: ['postgres:', 'postgresql:'], secret: true, required: 'production' })),
  DATABASE_POOL_MAX: integer('Connections of this process to the database at the most', { minimum: 1, maximum: 1000, default: 10 }),
  DATABASE_SLOW_MS: integer('Queries that take this many milliseconds or more are logged; 0 logs none', { minimum: 0, maximum: 3_600_000, default: 250 }),
  DATABASE_LOCK_TIMEOUT: duration('For how long a statement waits for what others have locked; 0s: for as long as it takes', { minimum: 0, maximum: 3_600_000, default: '5s' }),
  DATABASE_STATEMENT_TIMEOUT: duration('How long a statement may run, where requests are served REQUEST_TIMEOUT_MS at the most; 0s: as long as it takes', { minimum: 0, maximum: 3_600_000, default: '15s' }),
  DATABASE_IDLE_TRANSACTION_TIMEOUT: duration('For how long a transaction may do nothing before the database ends it; 0s: for ever', { minimum: 0, maximum: 3_600_000, default: '30s' }),
  DATA_DIR: text('Folder of the embedded database and the development keys', { default: '.data' }),
  ALLOWED_ORIGINS: originList('Origins that browsers may call from (CORS), comma separated, exact', { default: '' }),
  BODY_LIMIT: bytes('Largest request body, in bytes or as 512KiB, 2MiB', { minimum: 1024, maximum: 10 * MiB, default: '1MiB' }),
  TRUST_PROXY: trustList('Addresses or CIDR ranges of the proxies whose X-Forwarded-* headers are believed, comma separated', { default: '' }),
  RATE_LIMIT_MAX: integer('Requests each client address may make in a window, over all routes; 1000 in production', { minimum: 1, maximum: 1_000_000_000, default: 10_000, production: 1000 }),
  RATE_LIMIT_WINDOW: duration('Length of the rate limit window', { minimum: 1000, maximum: 86_400_000, default: '1m' }),
  AUTH_RATE_LIMIT_MAX: integer('Requests each address may make to each of register, login, refresh, logout and the change of a password in a window; 10 in production', { minimum: 1, maximum: 1_000_000_000, default: 300, production: 10 }),
  LOGIN_FAILURES_MAX: integer('Wrong passwords for an account in LOGIN_FAILURES_WINDOW, from wherever, before it takes none for the rest of it', { minimum: 1, maximum: 1_000_000, default: 10 }),
  LOGIN_FAILURES_WINDOW: duration('Length of that window; keep it short: strangers can bring an account there', { minimum: 1000, maximum: 3_600_000, default: '5m' }),
  JWT_ISSUER: text('Issuer (iss) of the access tokens', { default: 'keel' }),
  JWT_AUDIENCE: text('Audience (aud) of the access tokens', { default: 'keel' }),
  JWT_PRIVATE_KEY: Type.Optional(pem('Signing keys, PKCS#8 PEM, Ed25519 or P-256: the first signs, all verify; generated into DATA_DIR outside production', { secret: true, required: 'production', unless: 'JWT_JWKS_URL' })),
  JWT_JWKS_URL: Type.Optional(keysUrl('Key set of another issuer, whose tokens are taken instead of our own; https, outside production also http on this machine', {})),
  ACCESS_TOKEN_TTL: duration('Life of an access token', { minimum: 1000, maximum: 86_400_000, default: '15m' }),
  REFRESH_TOKEN_TTL: duration('Life of a refresh token', { minimum: 1000, maximum: 366 * 86_400_000, default: '30d' }),
  REFRESH_GRACE: duration('For how long after its use a refresh token that comes again, its successor unused, is refused without ending its session', { minimum: 0, maximum: 60_000, default: '5s' }),
  ADMIN_EMAIL: Type.Optional(text('E-mail of the admin that the seed creates; no default in production', { format: 'email', default: 'admin@example.com', production: null })),
  ADMIN_PASSWORD: Type.Optional(text('Password of that admin, 12 to 128 characters; no default in production', { minLength: 12, maxLength: 128, secret: true, default: 'keel-development', production: null })),
  IDEMPOTENCY_TTL: duration('How long the answer to an Idempotency-Key is kept', { minimum: 1000, maximum: 31 * 86_400_000, default: '24h' }),
  SMTP_URL: Type.Optional(url('Mail server as smtp://user:password@host:587, or smtps:// for TLS from the start; without it mail is logged and kept in the table mails', { protocols: ['smtp:', 'smtps:'], secret: true })),
  MAIL_FROM: text('Address that mail comes from', { format: 'email', default: 'keel@example.com' }),
  ORDER_TTL: duration('How long an order may stay unpaid before it is cancelled', { minimum: 1000, maximum: 366 * 86_400_000, default: '30m' }),
  EVENTS_RETENTION: duration('How long events are kept for readers that come back', { minimum: 60_000, maximum: 366 * 86_400_000, default: '7d' }),
  REDIS_URL: Type.Optional(url('Redis that tells the processes of new events instead of LISTEN/NOTIFY, where a pooler is in front of PostgreSQL', { protocols: ['redis:', 'rediss:'], secret: true })),
  SSE_HEARTBEAT: duration('An event stream is never silent for longer', { minimum: 1000, maximum: 600_000, default: '15s' }),
  SSE_STREAMS_MAX: integer('Event streams that a user may have open in this process at a time', { minimum: 1, maximum: 1_000_000, default: 20 }),
  WEBHOOK_URLS: secureUrlList('URLs that the domain events are posted to, comma separated; https, outside production also http on this machine', { secret: true, default: '', needs: 'WEBHOOK_SECRET' }),
  WEBHOOK_SECRET: Type.Optional(webhookSecrets('Secrets that webhooks are signed with, each whsec_ and 24 to 64 random bytes in base64; while one is replaced both, comma separated', { secret: true })),
  DOCS: text('API reference at /docs and /openapi.json: on or off; off in production', { enum: ['on', 'off'], default: 'on', production: 'off' }),
  WS_CONNECTIONS_MAX: integer('WebSockets that each user may have open in each process', { minimum: 1, maximum: 1_000_000, default: 20 }),
  WS_MESSAGES_MAX: integer('Messages that each WebSocket may send in a second', { minimum: 1, maximum: 1_000_000, default: 100 }),
  WS_PING_INTERVAL: duration('How often a WebSocket is asked whether it is alive; one that has not answered by the next time is cut off', { minimum: 100, maximum: 3_600_000, default: '20s' }),
  METRICS_TOKEN: Type.Optional(text('Bearer token that may read /metrics and see the details of /health/ready', { minLength: 16, secret: true })),
  METRICS_PORT: Type.Optional(integer('TCP port that answers /metrics in place of PORT, without METRICS_TOKEN to all who reach it', { minimum: 1, maximum: 65535 })),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(url('Collector that traces are sent to, by OTLP over HTTP; the other OTEL_* variables count as well. Without it there are none', { protocols: ['http:', 'https:'] })),
  REQUEST_TIMEOUT_MS: integer('Milliseconds in which a request must have arrived, and in which it is answered', { minimum: 100, maximum: 3_600_000, default: 30_000 }),
  OVERLOAD_LOOP_DELAY_MS: integer('Milliseconds that the event loop may be late before requests are refused (503); 0 refuses none; 1000 in production', { minimum: 0, maximum: 60_000, default: 2_000, production: 1_000 }),
  OVERLOAD_POOL_WAIT_MS: integer('Milliseconds that a request would have to wait for a database connection before it is refused (503); 0 refuses none; 50 in production', { minimum: 0, maximum: 60_000, default: 5_000, production: 50 }),
  HTTP_TIMEOUT_MS: integer('Milliseconds that a call of another service may take, retries and all, unless it says otherwise; keep it below REQUEST_TIMEOUT_MS', { minimum: 1, maximum: 3_600_000, default: 5_000 }),
  HTTP_ORIGIN_CONCURRENCY: integer('Calls of this process to each origin (scheme, host and port) that are under way at a time; as many more may wait', { minimum: 1, maximum: 100_000, default: 50 }),
  HTTP_UNTRUSTED_ALLOW: trustList('Addresses or CIDR ranges that URLs of users may lead to although they are not public, comma separated', { default: '' }),
  // recipes: settings
  SHUTDOWN_DELAY_MS: integer('Milliseconds that the service goes on at shutdown, not ready any more, until balancers have noticed; 5000 in production', { minimum: 0, maximum: 600_000, default: 0, production: 5_000 }),
  SHUTDOWN_GRACE_MS: integer('Milliseconds that requests and jobs under way then get to finish', { minimum: 0, maximum: 600_000, default: 10_000 })
})

export type Config = Static<typeof ConfigSchema>
export type ConfigKey = keyof Config
