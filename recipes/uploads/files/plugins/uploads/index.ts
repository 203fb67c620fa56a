import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Counter, Gauge } from 'prom-client'
import { admission, type Admission } from './admission.ts'
import { diskStorage } from './disk.ts'
import { s3Storage } from './s3.ts'
import type { FileStorage } from './storage.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Keeps uploaded files. Not there (`hasDecorator`) in production when it is not said where. */
    uploads: FileStorage & { admission: Admission, metrics: UploadMetrics }
  }
}

export interface UploadMetrics {
  /** A request ended: stored, refused (the client's doing), aborted (it hung up) or failed (ours). */
  ended: (outcome: 'stored' | 'refused' | 'aborted' | 'failed') => void
  /** Bytes of files that were stored. */
  stored: (bytes: number) => void
}

/** Uploaded files: a folder (UPLOADS_DIR) or a bucket (UPLOADS_S3_BUCKET), and how many may be under way. */
async function uploads (fastify: FastifyInstance) {
  const { config, log } = fastify
  const storage = await openStorage(fastify)
  if (storage === undefined) return log.warn('neither UPLOADS_DIR nor UPLOADS_S3_BUCKET is set: there are no uploads')
  const under = admission({ perUser: config.UPLOADS_PER_USER_MAX, inAll: config.UPLOADS_MAX })
  fastify.decorate('uploads', { ...storage, admission: under, metrics: measure(fastify, under) })
  fastify.addHook('onClose', async () => storage.close())
}

async function openStorage ({ config }: FastifyInstance): Promise<FileStorage | undefined> {
  const { UPLOADS_S3_BUCKET: bucket, UPLOADS_S3_ACCESS_KEY_ID: accessKeyId, UPLOADS_S3_SECRET_ACCESS_KEY: secretAccessKey } = config
  if (bucket !== undefined) {
    return await s3Storage({
      bucket,
      prefix: config.UPLOADS_S3_PREFIX,
      region: config.UPLOADS_S3_REGION,
      endpoint: config.UPLOADS_S3_ENDPOINT,
      maxBytes: config.UPLOAD_MAX_BYTES,
      ...accessKeyId !== undefined && secretAccessKey !== undefined ? { credentials: { accessKeyId, secretAccessKey } } : {}
    })
  }
  if (config.UPLOADS_DIR === undefined) return config.NODE_ENV === 'production' ? undefined : diskStorage(join(config.DATA_DIR, 'uploads'))
  const storage = diskStorage(config.UPLOADS_DIR)
  try {
    await storage.prepare()
  } catch (error) {
    throw new Error(`UPLOADS_DIR: ${config.UPLOADS_DIR} is no folder that can be written to (${(error as NodeJS.ErrnoException).code})`, { cause: error })
  }
  return storage
}

function measure (fastify: FastifyInstance, under: Admission): UploadMetrics {
  if (!fastify.hasDecorator('metrics') || !fastify.metrics.isOn) return { ended: () => {}, stored: () => {} }
  const registers = [fastify.metrics.registry]
  const requests = new Counter({ name: 'uploads_total', help: 'Requests that upload files, by how they ended: stored, refused, aborted, failed', labelNames: ['outcome'], registers })
  const bytes = new Counter({ name: 'upload_bytes_total', help: 'Bytes of files that were stored', registers })
  for (const outcome of ['stored', 'refused', 'aborted', 'failed']) requests.inc({ outcome }, 0)
  const gauge: Gauge = new Gauge({ name: 'uploads_under_way', help: 'Requests that upload files now', registers, collect: () => gauge.set(under.count()) })
  return { ended: outcome => requests.inc({ outcome }), stored: count => bytes.inc(count) }
}

export default fp(uploads, { name: 'uploads', dependencies: ['config'] })
