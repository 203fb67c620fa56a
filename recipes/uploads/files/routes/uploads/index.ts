import multipart from '@fastify/multipart'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { deleteUpload, findUpload, listUploads, storeUploads } from '../../services/uploads.ts'
import { linkHeader, locationHeader } from '../http/headers.ts'
import { linkNext } from '../http/pages.ts'
import { idParams, noContent, pageQuery, problem, ref } from '../schemas.ts'
import { sendContent } from './content.ts'
import { drain, filesOf } from './form.ts'
import { MAX_BYTES, StoredUploads, Upload, UploadForm, UploadPage, contentHeaders } from './schemas.ts'

const tags = ['uploads']
const params = idParams('The id of the file')
/** Whoever has a token, as everybody sees their own files alone. */
const config = { scopes: [] }

const uploads: FastifyPluginAsyncTypebox = async fastify => {
  // In production it has to be said where files are kept.
  if (!fastify.hasDecorator('uploads')) return
  for (const schema of [Upload, UploadPage, StoredUploads, UploadForm]) fastify.addSchema(schema)
  await fastify.register(multipart)
  const { prisma, uploads: store, config: { UPLOAD_TYPES, UPLOAD_MAX_BYTES, UPLOAD_FILES_MAX, UPLOAD_TIMEOUT } } = fastify
  const { admission, metrics } = store
  const policy = { types: UPLOAD_TYPES.split(',').map(type => type.trim()), maxBytes: UPLOAD_MAX_BYTES, maxFiles: UPLOAD_FILES_MAX }
  const uploading = (request: FastifyRequest) => ({ prisma, store, log: request.log })

  fastify.post('', {
    config: { ...config, timeoutMs: UPLOAD_TIMEOUT },
    // The form is read while it arrives.
    validatorCompiler: () => () => true,
    schema: {
      operationId: 'uploadFiles',
      summary: 'Upload files',
      description: 'One or several files in a form, stored all or none. What a file is is told from its bytes: 415 for a type that is not taken, and for one that is not what its Content-Type says.',
      tags,
      consumes: ['multipart/form-data'],
      body: ref(UploadForm),
      response: { 201: ref(StoredUploads, { description: 'The files; Location is that of the first', headers: locationHeader }), 413: problem, 415: problem }
    }
  }, async (request, reply) => {
    const leave = admission.enter(request.user.id)
    if (leave === 'user') return reply.problem('RATE_LIMITED', 'You have as many uploads under way as one may have at a time.')
    if (leave === 'process') return reply.problem('OVERLOADED', 'Too many uploads are under way.')
    const { signal } = request.deadline
    try {
      const items = await storeUploads(uploading(request), request.user.id, filesOf(request, policy), policy, signal)
      metrics.ended('stored')
      metrics.stored(items.reduce((sum, { size }) => sum + size, 0))
      return reply.code(201).header('location', `/uploads/${items[0]?.id}`).send({ items })
    } catch (error) {
      metrics.ended(signal.aborted ? 'aborted' : fastify.problemOf(error).status < 500 ? 'refused' : 'failed')
      throw error
    } finally {
      leave()
      drain(request)
    }
  })

  fastify.get('', {
    config,
    schema: {
      operationId: 'listUploads',
      summary: 'List one\'s own files, newest first',
      description: 'Files that are being uploaded are not there yet.',
      tags,
      querystring: pageQuery({}),
      response: { 200: ref(UploadPage, { description: 'A page of files', headers: linkHeader }) }
    }
  }, async (request, reply) => linkNext(request, reply, await listUploads(prisma, request.user.id, request.query)))

  fastify.get('/:id', {
    config,
    schema: {
      operationId: 'getUpload',
      summary: 'What is known of a file',
      description: 'One\'s own.',
      tags,
      params,
      response: { 200: ref(Upload, { description: 'The file' }), 404: problem }
    }
  }, async request => await findUpload(prisma, request.user.id, request.params.id))

  const content = { '*/*': { schema: { type: 'string', format: 'binary', maxLength: MAX_BYTES } } }
  const uncompressed: object = { compress: false }
  fastify.get('/:id/content', {
    // Ranges are of these very bytes.
    ...uncompressed,
    config,
    schema: {
      operationId: 'getUploadContent',
      summary: 'What is in a file',
      description: 'One\'s own, as an attachment: never to be shown as a page of this origin. Takes a range.',
      tags,
      params,
      headers: contentHeaders,
      response: {
        200: { description: 'All of it', content },
        206: { description: 'The range that was asked for', content },
        304: noContent('The client has it'),
        404: problem,
        416: problem
      }
    }
  }, async (request, reply) => await sendContent(reply, store, await findUpload(prisma, request.user.id, request.params.id), request.headers))

  fastify.delete('/:id', {
    config,
    schema: {
      operationId: 'deleteUpload',
      summary: 'Delete a file',
      description: 'One\'s own. Downloads under way end as they would have.',
      tags,
      params,
      response: { 204: noContent('The file is gone'), 404: problem }
    }
  }, async (request, reply) => {
    await deleteUpload(uploading(request), request.user.id, request.params.id)
    return reply.code(204).send()
  })
}

export default uploads
