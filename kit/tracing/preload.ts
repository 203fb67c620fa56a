// Loaded before the service (`node --import`) by kit/serve where an endpoint for traces is named.
import { loadEnvironment } from './environment.ts'

loadEnvironment()
const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER } = process.env
if ((OTEL_EXPORTER_OTLP_ENDPOINT || OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) && OTEL_SDK_DISABLED !== 'true' && OTEL_TRACES_EXPORTER !== 'none') await import('./sdk.ts')
