// What the schemas can't know: that the manifests fit the service, and are as tight as they say.
import { settings } from '../../plugins/config/load.ts'
import { project } from './check.ts'

interface Probe { httpGet?: { path?: string } }
interface Container {
  name?: string
  image?: string
  env?: { name: string }[]
  startupProbe?: Probe
  livenessProbe?: Probe
  readinessProbe?: Probe
  lifecycle?: { preStop?: { sleep?: { seconds?: number } } }
  resources?: { requests?: object, limits?: { memory?: string } }
  securityContext?: { readOnlyRootFilesystem?: boolean, allowPrivilegeEscalation?: boolean, capabilities?: { drop?: string[] } }
}
interface PodSpec { terminationGracePeriodSeconds?: number, automountServiceAccountToken?: boolean, securityContext?: { runAsNonRoot?: boolean }, containers?: Container[] }

/** A manifest, as far as it is looked at. */
export interface Manifest {
  apiVersion: string
  kind: string
  metadata?: { name: string }
  data?: Record<string, string>
  spec?: { template?: { spec?: PodSpec } }
}

/** fastify-cli's own wait goes on for this long after SHUTDOWN_DELAY_MS and SHUTDOWN_GRACE_MS (kit/fastify-start.ts). */
const CLOSE_SECONDS = 5

/** What of the manifests does not fit the service. */
export function deploymentProblems (manifests: Manifest[]): string[] {
  const names = new Set(settings.flatMap(([name, { secret }]) => secret ? [name, `${name}_FILE`] : [name]))
  const config = manifests.filter(({ kind }) => kind === 'ConfigMap').map(({ data }) => data ?? {})
  const seconds = (wanted: string) => {
    const { production, default: fallback } = settings.find(([name]) => name === wanted)?.[1] ?? {}
    return Number(config[0]?.[wanted] ?? production ?? fallback) / 1000
  }
  const closing = { delay: seconds('SHUTDOWN_DELAY_MS'), grace: seconds('SHUTDOWN_GRACE_MS') }
  const unknown = (given: string[]) => given.filter(name => !names.has(name)).map(name => `${name} is no setting of the service`)
  return [
    ...config.flatMap(data => unknown(Object.keys(data))),
    ...manifests.flatMap(({ kind, metadata, spec }) => {
      const pod = spec?.template?.spec
      if (!pod) return []
      const found = [
        ...pod.securityContext?.runAsNonRoot ? [] : ['runAsNonRoot is not set'],
        ...pod.automountServiceAccountToken === false ? [] : ['automountServiceAccountToken is not false'],
        ...(pod.containers ?? []).flatMap(container => [...containerProblems(container), ...unknown((container.env ?? []).map(({ name }) => name))])
      ]
      if (kind === 'Deployment') found.push(...(pod.containers ?? []).flatMap(container => lifeProblems(container, pod, closing)))
      return found.map(problem => `${kind} ${metadata?.name}: ${problem}`)
    })
  ]
}

function containerProblems ({ image = '', resources, securityContext }: Container): string[] {
  return [
    ...image === `keel:${project.version}` ? [] : [`the image is ${image}, not keel:${project.version}`],
    ...resources?.requests && resources.limits?.memory ? [] : ['resources has no requests or no limit of memory'],
    ...securityContext?.readOnlyRootFilesystem ? [] : ['readOnlyRootFilesystem is not set'],
    ...securityContext?.allowPrivilegeEscalation === false ? [] : ['allowPrivilegeEscalation is not false'],
    ...securityContext?.capabilities?.drop?.includes('ALL') ? [] : ['not all capabilities are dropped']
  ]
}

function lifeProblems ({ startupProbe, livenessProbe, readinessProbe, lifecycle }: Container, pod: PodSpec, { delay, grace }: { delay: number, grace: number }): string[] {
  const probes: [name: string, probe: Probe | undefined, path: string][] = [
    ['startupProbe', startupProbe, '/health/live'], ['livenessProbe', livenessProbe, '/health/live'], ['readinessProbe', readinessProbe, '/health/ready']
  ]
  const sleep = lifecycle?.preStop?.sleep?.seconds ?? 0
  const least = sleep + delay + grace + CLOSE_SECONDS
  return [
    ...probes.filter(([, probe, path]) => probe?.httpGet?.path !== path).map(([name, probe, path]) => `${name} asks ${probe?.httpGet?.path}, not ${path}`),
    ...sleep > 0 ? [] : ['preStop does not sleep until the balancers have noticed'],
    ...(pod.terminationGracePeriodSeconds ?? 30) > least ? [] : [`terminationGracePeriodSeconds is not more than ${least} s (preStop ${sleep}, SHUTDOWN_DELAY_MS ${delay}, SHUTDOWN_GRACE_MS ${grace}, ${CLOSE_SECONDS} to close)`]
  ]
}
