// Carries out a Dockerfile's steps in clean folders, one for each stage's WORKDIR, on this
// machine's tools. What it does not know it refuses, so that a step is never passed over unseen.
import { execFile, execFileSync } from 'node:child_process'
import { constants, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { promisify } from 'node:util'
import type { Ignore } from '@balena/dockerignore'
import { DockerfileParser, type Copy, type Instruction, type JSONInstruction } from 'dockerfile-ast'
import type { Test } from 'tap'
import { checkoutFiles } from '../../kit/checkout-files.ts'
import { alone } from './process.ts'

const root = join(import.meta.dirname, '../..')
// Its types are those of an ES module, which it is not.
const ignore = createRequire(import.meta.url)('@balena/dockerignore') as () => Ignore
/** A RUN that names a path outside the WORKDIR changes the base image, which is not here. */
const OUTSIDE = /(^|\s)\/\w/

export interface Stage {
  /** What the image has at WORKDIR. */
  folder: string
  workdir: string
  env: Record<string, string>
  user: string
  command: string[]
  healthcheck: string[]
}

export interface Image extends Stage {
  /** The image that the first stage is of. */
  base: string
  /** Steps that change files of the base image. */
  skipped: string[]
  /** A folder with the one command `node`, as the base image has it. */
  bin: string
}

/** The image of the Dockerfile at the top of the project, and of the files that git knows and .dockerignore lets through. */
export async function buildImage (t: Test): Promise<Image> {
  const folder = mkdtempSync(join(tmpdir(), 'keel-image-'))
  t.teardown(() => {
    execFileSync('chmod', ['-R', 'u+w', folder])
    rmSync(folder, { recursive: true, force: true })
  })
  // Copied: the user of the image may not be allowed to where this one is.
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  copyFileSync(process.execPath, join(bin, 'node'), constants.COPYFILE_FICLONE)
  const stages = new Map<string, Stage>()
  const image = { base: '', skipped: [] as string[], bin }
  let stage: Stage | undefined
  for (const step of DockerfileParser.parse(readFileSync(join(root, 'Dockerfile'), 'utf8')).getInstructions()) {
    if (step.getKeyword() === 'FROM') {
      const [from = '', , name = from] = words(step)
      if (stages.size === 0) image.base = from
      stage = begin(join(folder, name), stages.get(from))
      stages.set(name, stage)
    } else if (stage) await carryOut(step, stage, stages, image)
  }
  if (!stage) throw new Error('The Dockerfile has no stage')
  execFileSync('chmod', ['755', folder])
  // So that a user who is not root can't write, either.
  execFileSync('chmod', ['-R', 'a-w', stage.folder])
  return { ...stage, ...image }
}

function begin (folder: string, from?: Stage): Stage {
  mkdirSync(folder)
  if (!from) return { folder, workdir: '/', env: {}, user: '', command: [], healthcheck: [] }
  cpSync(from.folder, folder, { recursive: true, verbatimSymlinks: true })
  return { ...from, env: { ...from.env }, folder }
}

async function carryOut (step: Instruction, stage: Stage, stages: Map<string, Stage>, image: { skipped: string[], bin: string }): Promise<void> {
  const all = words(step)
  const [first = ''] = all
  const json = () => (step as JSONInstruction).getJSONStrings().map(text => JSON.parse(text.getValue()) as string)
  switch (step.getKeyword()) {
    case 'WORKDIR': stage.workdir = first; break
    case 'ENV': Object.assign(stage.env, Object.fromEntries(all.map(pair => pair.split('=', 2) as [string, string]))); break
    case 'USER': stage.user = first; break
    case 'EXPOSE': break
    case 'CMD': stage.command = json(); break
    case 'HEALTHCHECK': stage.healthcheck = JSON.parse((step.getRawArgumentsContent() ?? '').replace(/^.*?CMD/, '')) as string[]; break
    case 'COPY': copy(step as Copy, all, stage, stages); break
    case 'RUN': {
      const command = (step.getArgumentsContent() ?? '').replace(/^(--\S+\s+)*/, '')
      if (OUTSIDE.test(command)) image.skipped.push(command)
      else await run(command, stage, image.bin)
      break
    }
    default: throw new Error(`The steps of ${step.getKeyword()} are not known here`)
  }
}

/** `COPY [--from=STAGE] SOURCE … TARGET`; the target is in the WORKDIR, and a folder when its name ends in a slash or is `.`. */
function copy (step: Copy, all: string[], { folder, workdir }: Stage, stages: Map<string, Stage>): void {
  const from = step.getFromFlag()?.getValue() ?? undefined
  const sources = all.filter(word => !word.startsWith('--'))
  const target = sources.pop() ?? '.'
  const into = /(^|\/)\.?$/.test(target)
  for (const source of sources) {
    if (from === undefined) {
      const files = contextFiles().filter(file => source === '.' || file === source || file.startsWith(`${source}/`))
      if (files.length === 0) throw new Error(`COPY ${source}: nothing of that name gets past .dockerignore`)
      for (const file of files) {
        const rest = source === '.' ? file : file === source ? (into ? basename(file) : '') : file.slice(source.length + 1)
        cpSync(join(root, file), join(folder, target, rest))
      }
    } else {
      const other = stages.get(from)
      if (!other) throw new Error(`There is no stage ${from}`)
      cpSync(join(other.folder, relative(workdir, source)), join(folder, target), { recursive: true, verbatimSymlinks: true })
    }
  }
}

async function run (command: string, { folder, env }: Stage, bin: string): Promise<void> {
  await promisify(execFile)(...alone('sh', ['-c', command], { ...toolsOf(bin), ...env }), { cwd: folder }).catch((error: { code?: number, stdout?: string, stderr?: string }) => {
    throw new Error(`RUN ${command} ended with ${error.code}:\n${error.stdout}${error.stderr}`)
  })
}

/** The environment of a step: the image's Node, and npm with this machine's registry and cache. */
export function toolsOf (bin: string): Record<string, string> {
  const { PATH = '', HOME = '', NODE_EXTRA_CA_CERTS } = process.env
  const path = [bin, ...PATH.split(':').filter(part => !part.includes('node_modules'))].join(':')
  const npm = Object.fromEntries(Object.entries(process.env).filter(([name]) => /^npm_config_(registry|cache|userconfig)$/i.test(name)))
  return { ...npm, HOME, PATH: path, ...NODE_EXTRA_CA_CERTS ? { NODE_EXTRA_CA_CERTS } : {}, npm_config_prefer_offline: 'true', npm_config_update_notifier: 'false' } as Record<string, string>
}

function contextFiles (): string[] {
  return ignore().add(readFileSync(join(root, '.dockerignore'), 'utf8')).filter(checkoutFiles(root))
}

function words (step: Instruction): string[] {
  return step.getArguments().map(argument => argument.getValue())
}
