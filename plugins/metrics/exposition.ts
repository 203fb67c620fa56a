import { Registry, type Metric, type OpenMetricsContentType, type PrometheusContentType } from 'prom-client'

/** What a scrape is answered with. */
export interface Exposition { type: string, text: string }

const OPEN_METRICS = /application\/openmetrics-text(?![^,]*;\s*q=0(?:\.0+)?\s*(?:,|$))/

/** The text of all metrics of some registries: OpenMetrics, which has exemplars, for who takes it. */
export async function exposition (registries: Registry[], accept = ''): Promise<Exposition> {
  const type = OPEN_METRICS.test(accept) ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE
  const all = new Registry<PrometheusContentType | OpenMetricsContentType>()
  all.setContentType(type)
  for (const registry of registries) {
    // The library renames the counters that it writes as OpenMetrics, for good: these are not the originals.
    for (const metric of registry.getMetricsAsArray()) all.registerMetric(Object.create(metric) as Metric)
  }
  return { type, text: await all.metrics() }
}
