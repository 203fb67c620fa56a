import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultResource, detectResources, envDetector, resourceFromAttributes, type Resource } from '@opentelemetry/resources'

/** Who sends the spans: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, else package.json. */
export function serviceResource (): Resource {
  const { name, version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { name: string, version: string }
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': name, 'service.version': version }))
    .merge(detectResources({ detectors: [envDetector] }))
}
