// The Kubernetes manifests against the API's schemas (kubernetes-models): values by its validators,
// misspelt fields, which those let pass, by its types and tsc.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { root, type Check } from './check.ts'
import { deploymentProblems, type Manifest } from './deployment.ts'

const folder = 'deploy/k8s'
const models = join(import.meta.dirname, 'node_modules/kubernetes-models')

async function problems (text: string): Promise<string[]> {
  const manifests = parseAllDocuments(text).map(document => document.toJS() as Manifest).filter(Boolean)
  const found = await Promise.all(manifests.map(valueProblems))
  return [...found.flat(), ...fieldProblems(manifests), ...deploymentProblems(manifests)]
}

/** Where the model of a kind is: `apps/v1/Deployment`, `v1/Service`, `networking.k8s.io/v1/NetworkPolicy`. */
function modelOf ({ apiVersion, kind }: Manifest): string {
  return `${apiVersion}/${kind}`
}

async function valueProblems (manifest: Manifest): Promise<string[]> {
  const { metadata: { name } = { name: '' }, kind } = manifest
  try {
    const file = join(models, `${modelOf(manifest)}.js`)
    if (!existsSync(file)) return [`${name}: there is no kind ${modelOf(manifest)}`]
    const exported = await import(pathToFileURL(file).href) as Record<string, new (data: object) => { validate: () => void }>
    const Model = exported[kind]
    if (Model) new Model(manifest).validate()
    return []
  } catch (error) {
    return [`${kind} ${name}: ${(error as Error).message}`]
  }
}

/** Types refuse fields they do not know only in literals, so the manifests are written as such. */
function fieldProblems (manifests: Manifest[]): string[] {
  const work = join(import.meta.dirname, 'node_modules/.cache/kubernetes')
  mkdirSync(work, { recursive: true })
  const lines = manifests.map((manifest, index) => `import type { I${manifest.kind} as K${index} } from 'kubernetes-models/${modelOf(manifest)}'\nexport const m${index}: K${index} = ${JSON.stringify(manifest, null, 1)}\n`)
  writeFileSync(join(work, 'manifests.ts'), lines.join('\n'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify({ compilerOptions: { noEmit: true, strict: true, skipLibCheck: true, types: [], target: 'esnext', module: 'nodenext' } }))
  const { status, stdout } = spawnSync(process.execPath, [tsc, '--pretty', 'false'], { cwd: work, encoding: 'utf8' })
  rmSync(work, { recursive: true })
  return status === 0 ? [] : stdout.trim().split('\n')
}

export default {
  name: 'kubernetes',
  files: readdirSync(join(root, folder)).filter(name => name !== 'kustomization.yaml').map(name => `${folder}/${name}`),
  together: true,
  problems,
  refused: [{
    text: `
apiVersion: apps/v1
kind: Deployment
metadata: { name: bad }
spec:
  replicas: many
  selector: { matchLabels: { app: bad } }
  template:
    metadata: { labels: { app: bad } }
    spec:
      terminationGracePeriodSecond: 30
      terminationGracePeriodSeconds: 10
      containers:
        - name: bad
          image: bad:latest
          readinessProbe: { httpGet: { path: /healthz, port: 3000 } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: bad }
data: { PROT: "3000" }
---
apiVersion: apps/v1
kind: Deploymnet
metadata: { name: bad }
`,
    says: [/replicas must be/, /"terminationGracePeriodSecond"' does not exist/, /no kind apps\/v1\/Deploymnet/, /PROT is no setting/, /\/healthz/, /terminationGracePeriodSeconds/, /readOnlyRootFilesystem/, /resources/]
  }]
} satisfies Check
