// Prometheus's own checker, promtool: the configuration, the alert rules, and their tests.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, type Check } from './check.ts'

const folder = 'deploy/prometheus'

/** promtool's command for a file, by what is in it. */
function commandFor (text: string): string[] {
  if (/^tests:/m.test(text)) return ['test', 'rules']
  // The secret that it names is not here.
  return /^scrape_configs:/m.test(text) ? ['check', 'config', '--syntax-only'] : ['check', 'rules']
}

async function problems (text: string): Promise<string[]> {
  const work = mkdtempSync(join(tmpdir(), 'promtool-'))
  try {
    // The files name each other.
    cpSync(join(root, folder), work, { recursive: true })
    const file = join(work, 'checked.yml')
    writeFileSync(file, text)
    const { status, stdout, stderr, error } = spawnSync('promtool', [...commandFor(text), file], { cwd: work, encoding: 'utf8' })
    if (error !== undefined) return ['promtool is not installed: on Debian it is in the package prometheus']
    return status === 0 ? [] : `${stdout}${stderr}`.split('\n').map(line => line.replaceAll(work, folder).trim()).filter(Boolean)
  } finally {
    rmSync(work, { recursive: true })
  }
}

export default {
  name: 'prometheus',
  files: ['prometheus.yml', 'alerts.yml', 'alerts.test.yml'].map(name => `${folder}/${name}`),
  problems,
  refused: [
    { text: 'scrape_configs:\n  - job_name: keel\n    scrape_intervall: 15s\n', says: [/scrape_intervall/] },
    { text: 'groups:\n  - name: bad\n    rules:\n      - { alert: Bad, expr: "rate(up[5m]" }\n', says: [/could not parse expression/] },
    {
      text: 'rule_files: [alerts.yml]\ntests:\n  - interval: 1m\n    input_series: [{ series: \'up{job="keel",instance="a"}\', values: "0x10" }]\n    alert_rule_test: [{ alertname: KeelDown, eval_time: 5m, exp_alerts: [] }]\n',
      says: [/KeelDown/, /got:/]
    }
  ]
} satisfies Check
