import { Agent as HttpAgent } from 'node:http'
import { Agent } from 'node:https'
import { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import { StorageError, type FileStorage } from './storage.ts'

export interface S3Options {
  bucket: string
  /** In front of each id. */
  prefix: string
  region: string
  /** Of an S3 that is not Amazon's: its buckets are then in the path. */
  endpoint?: string
  /** Without them the SDK looks where it always does: AWS_* variables, profiles, the role of the machine or pod. */
  credentials?: { accessKeyId: string, secretAccessKey: string }
  /** The largest file, in bytes. */
  maxBytes: number
}

const MiB = 1024 * 1024
/** What S3 takes. */
const MAX_PARTS = 10_000
const MIN_PART_BYTES = 5 * MiB
/** Parts under way of each file: with one that is being filled, and its copy, this is what an upload has in memory. */
const PARTS_AT_ONCE = 2
const CONNECT_MS = 5_000
const SILENCE_MS = 30_000
/** Each download that goes on holds one. */
const MAX_SOCKETS = 500

/**
 * Objects in a bucket. One of up to a part is put at once, a larger one as a multipart upload: either is to be had when it is
 * complete. The SDK is loaded here, with the first process that keeps files so.
 */
export async function s3Storage (options: S3Options): Promise<FileStorage> {
  const { AbortMultipartUploadCommand, DeleteObjectCommand, GetObjectCommand, ListMultipartUploadsCommand } = await import('@aws-sdk/client-s3')
  const { Upload } = await import('@aws-sdk/lib-storage')
  const client = await connect(options)
  const partSize = Math.max(MIN_PART_BYTES, Math.ceil(options.maxBytes / MAX_PARTS / MiB) * MiB)
  const objectOf = (key: string) => ({ Bucket: options.bucket, Key: `${options.prefix}${key}` })

  return {
    async write (key, content, type) {
      // Ended by its content alone: then `done` waits for the parts under way and takes them back.
      const params = { ...objectOf(key), Body: Readable.from(content, { objectMode: false }), ContentType: type }
      await attempt('stored', new Upload({ client, params, partSize, queueSize: PARTS_AT_ONCE }).done())
    },
    async read (key, range) {
      const Range = range && `bytes=${range.start}-${range.end}`
      const { Body } = await attempt('read', client.send(new GetObjectCommand({ ...objectOf(key), Range })))
      if (!(Body instanceof Readable)) throw new StorageError('read', new Error('the object has no body'))
      return Body
    },
    async remove (key) {
      const { Bucket, Key } = objectOf(key)
      await attempt('removed', client.send(new DeleteObjectCommand({ Bucket, Key })))
      // What a process left that was killed. The prefix is of one object, as some servers want it.
      await attempt('removed', (async () => {
        const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }))
        for (const { UploadId } of Uploads) await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
      })().catch(tolerate))
    },
    close: () => client.destroy()
  }
}

async function connect ({ region, endpoint, credentials }: S3Options): Promise<S3Client> {
  const { S3Client } = await import('@aws-sdk/client-s3')
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS }
  return new S3Client({
    region,
    ...endpoint === undefined ? {} : { endpoint, forcePathStyle: true },
    ...credentials ? { credentials } : {},
    // Of the newer checksums not every server knows; the service has its own, of the whole file.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new Agent(agent)
    }
  })
}

async function attempt<T> (what: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw new StorageError(what, error)
  }
}

/** A server that can't list what is unfinished has to clear it up itself: docs/uploads.md. */
function tolerate (error: Error & { $metadata?: { httpStatusCode?: number } }): void {
  if (error.name !== 'NotImplemented' && error.$metadata?.httpStatusCode !== 501) throw error
}
