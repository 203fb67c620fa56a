// Ten times the load that the service sustains: `TEST_DATABASE_URL=… node bench/overload.ts [SECONDS] [TIMES]`.
// First as many as 16 clients in a row get answered (what it sustains), then half of that, then TIMES as many
// for SECONDS. Says how the accepted ones fared, how /health/live answered meanwhile, and what became of the memory.
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './client.ts'
import { CLIENTS, startTarget } from './load.ts'
import { quantile } from './statistics.ts'

const seconds = Number(process.argv[2] ?? 30)
const times = Number(process.argv[3] ?? 10)

const target = await startTarget()
const full: Answer[] = []
const sustained = await target.sustain(10, answer => full.push(answer))
say(`sustained by ${CLIENTS} clients: ${Math.round(sustained)} requests a second: ${summary(full)}`)
const normal = await measure(sustained / 2, 10)
say(`at half of it: ${summary(normal)}`)
const before = target.memory()
const probes = watchHealth()
const many = await measure(sustained * times, seconds)
const health = probes.stop()
say(`at ${times} times it: ${summary(many)}`)
const timesOf = (others: Answer[]) => (quantile(accepted(many), 0.99) / quantile(accepted(others), 0.99)).toFixed(1)
say(`p99 of the accepted is ${timesOf(full)} times that at the sustained load, ${timesOf(normal)} times that at half of it; health answered within ${quantile(health, 0.5).toFixed(1)} ms (median), ${quantile(health, 0.99).toFixed(1)} ms (p99)`)
await sleep(3_000)
say(`at half of it again: ${summary(await measure(sustained / 2, 5))}`)
say(`memory: ${before} MB before, ${target.memory()} MB after, ${target.memory('VmHWM')} MB at the most`)
await target.close()

async function measure (rate: number, seconds: number): Promise<Answer[]> {
  const answers: Answer[] = []
  await target.at(rate, seconds, answer => answers.push(answer))
  return answers
}

function watchHealth (): { stop: () => number[] } {
  const times: number[] = []
  const timer = setInterval(() => {
    const began = performance.now()
    request({ port: target.port, host: '127.0.0.1', path: '/health/live' }, response => response.resume().once('end', () => times.push(performance.now() - began))).once('error', () => times.push(Infinity)).end()
  }, 100)
  return { stop: () => { clearInterval(timer); return times } }
}

function accepted (answers: Answer[]): number[] {
  return answers.filter(({ status }) => status < 300 && status > 0).map(({ ms }) => ms)
}

function summary (answers: Answer[]): string {
  const ok = accepted(answers)
  const refused = answers.filter(({ status }) => status === 503)
  const silent = refused.filter(({ retryAfter }) => retryAfter === undefined).length
  const others = answers.filter(({ status }) => status >= 300 && status !== 503).map(({ status }) => status)
  return `${answers.length} sent, ${ok.length} accepted (p50 ${quantile(ok, 0.5).toFixed(1)} ms, p99 ${quantile(ok, 0.99).toFixed(1)} ms), ${refused.length} refused with 503 (${silent} without Retry-After), ${answers.filter(({ status }) => status === 0).length} failed (${[...new Set(answers.flatMap(({ error }) => error ?? []))].join() || 'none'}), others: ${[...new Set(others)].join() || 'none'}`
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}
