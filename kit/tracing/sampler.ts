import { SpanKind, TraceFlags, trace, type Context } from '@opentelemetry/api'
import { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler, SamplingDecision, TraceIdRatioBasedSampler, type Sampler } from '@opentelemetry/sdk-trace-node'

/** The sampler that OTEL_TRACES_SAMPLER names. A trace begins with a request or a job: what the service does by itself, such as polling, is none. */
export function sampler (name = 'parentbased_always_on', argument?: string): Sampler {
  const chosen = named(name, argument)
  return {
    shouldSample: (context: Context, ...rest) => {
      const [, , kind] = rest
      const parent = trace.getSpanContext(context)
      const isBeginning = kind === SpanKind.SERVER || kind === SpanKind.CONSUMER
      const isLeftOut = parent === undefined ? !isBeginning : parent.isRemote !== true && (parent.traceFlags & TraceFlags.SAMPLED) === 0
      return isLeftOut ? { decision: SamplingDecision.NOT_RECORD } : chosen.shouldSample(context, ...rest)
    },
    toString: () => `Beginnings{${chosen.toString()}}`
  }
}

function named (name: string, argument: string | undefined): Sampler {
  if (name.startsWith('parentbased_')) return new ParentBasedSampler({ root: named(name.slice('parentbased_'.length), argument) })
  if (name === 'always_off') return new AlwaysOffSampler()
  if (name === 'traceidratio') return new TraceIdRatioBasedSampler(argument === undefined ? 1 : Number(argument))
  return new AlwaysOnSampler()
}
