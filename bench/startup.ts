// How long a start takes and how much memory an idle service has, side by side in one run:
// `npx node bench/startup.ts [RUNS]`; with BENCH_DATABASE_URL (an empty database) also on that server.
// Times are from the command to the first 200 of /health/ready; memory is of the service's process.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { answers, freePort } from '../test/helpers/process.ts'
import { median } from './statistics.ts'

const root = join(import.meta.dirname, '..')
const runs = Number(process.argv[2] ?? 5)
const IDLE_MS = 3_000

interface Measured { readyMs: number, cpuMs: number, rssMiB: number }

const server = process.env.BENCH_DATABASE_URL
const rows: [name: string, measured: Measured[]][] = [['embedded, first start', []], ['embedded, later start', []], ...server ? [['PostgreSQL, later start', []] as [string, Measured[]]] : []]
for (let run = 0; run < runs; run++) {
  const DATA_DIR = mkdtempSync(join(tmpdir(), 'keel-bench-'))
  rows[0]?.[1].push(await measure({ DATA_DIR }))
  rows[1]?.[1].push(await measure({ DATA_DIR }))
  if (server) rows[2]?.[1].push(await measure({ DATA_DIR, DATABASE_URL: server }))
  rmSync(DATA_DIR, { recursive: true })
}
for (const [name, measured] of rows) {
  const column = (pick: (measured: Measured) => number) => String(Math.round(median(measured.map(pick)))).padStart(6)
  process.stdout.write(`${name.padEnd(24)} ready ${column(m => m.readyMs)} ms   CPU ${column(m => m.cpuMs)} ms   resident ${column(m => m.rssMiB)} MiB\n`)
}
process.stdout.write(`medians of ${runs} runs\n`)

async function measure (env: Record<string, string>): Promise<Measured> {
  const port = await freePort()
  const began = performance.now()
  const child = spawn('npm', ['start', '--silent'], { cwd: root, env: { ...process.env, PORT: String(port), ...env }, stdio: 'ignore' })
  while (!await answers(`http://127.0.0.1:${port}/health/ready`, 200)) await sleep(10)
  const readyMs = performance.now() - began
  const cpuMs = cpuOfTree(child.pid ?? 0)
  await sleep(IDLE_MS)
  const rssMiB = residentOf(servicePid(child.pid ?? 0))
  child.kill('SIGTERM')
  await new Promise(resolve => child.once('close', resolve))
  return { readyMs, cpuMs, rssMiB }
}

/** The fields of /proc/PID/stat after the name: state, ppid, … (proc(5), from field 3 on). */
function statOf (pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function childrenOf (pid: number): number[] {
  return readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number).filter(candidate => {
    try {
      return Number(statOf(candidate)[1]) === pid
    } catch {
      return false
    }
  })
}

/** CPU time of npm, what it runs and what has ended of it. A tick is 10 ms. */
function cpuOfTree (pid: number): number {
  const fields = statOf(pid).slice(11, 15).map(Number)
  return fields.reduce((sum, ticks) => sum + ticks * 10, 0) + childrenOf(pid).reduce((sum, child) => sum + cpuOfTree(child), 0)
}

function servicePid (pid: number): number {
  const [child] = childrenOf(pid)
  return child === undefined ? pid : servicePid(child)
}

function residentOf (pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}
