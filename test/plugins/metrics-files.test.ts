// What is asked of Prometheus by the dashboards and the alerts is measured: a metric that was renamed would leave them silent.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { buildApp, withoutDatabase } from '../helpers/app.ts'

withoutDatabase()

const deploy = join(import.meta.dirname, '../../deploy')
const read = (file: string) => readFileSync(join(deploy, file), 'utf8')

interface Dashboard { uid: string, panels: { title: string, targets?: { expr: string }[] }[] }
interface Rules { groups: { rules: { alert: string, expr: string }[] }[] }

const dashboards = readdirSync(join(deploy, 'grafana/dashboards')).map(file => JSON.parse(read(`grafana/dashboards/${file}`)) as Dashboard)
/** What the panels ask. */
const shown = dashboards.flatMap(({ panels }) => panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)))
const rules = (parse(read('prometheus/alerts.yml')) as Rules).groups.flatMap(({ rules }) => rules)
const tests = parse(read('prometheus/alerts.test.yml')) as { tests: { alert_rule_test: { alertname: string, exp_alerts: object[] }[] }[] }
/** Prometheus's own. */
const OWN = new Set(['up'])
const OPERATORS = new Set(['and', 'or', 'unless', 'on', 'ignoring', 'bool'])

/** The names of the metrics in a PromQL expression: what is left without labels, ranges, texts, groupings and functions. */
function metricsIn (expression: string): string[] {
  const bare = expression.replaceAll(/"[^"]*"/g, '').replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, ' ').replaceAll(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
  return [...bare.matchAll(/(?<![\w.])[a-zA-Z_:][\w:]*\b(?!\s*\()/g)].map(([name]) => name).filter(name => !OPERATORS.has(name))
}

t.test('every metric of the dashboards and the alerts is in a scrape', async (t) => {
  const app = await buildApp(t, { ROLE: 'all' })
  await app.inject('/products')
  const { text } = await app.metrics.scrape()
  const names = new Set([...text.matchAll(/^# TYPE (\S+) (\S+)/gm)].flatMap(([, name, type]) => type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [String(name)]))
  const expressions = [...shown, ...rules.map(({ expr }) => expr)]
  t.ok(expressions.length > 30)
  for (const expression of expressions) {
    const used = metricsIn(expression)
    t.ok(used.length > 0, expression)
    for (const name of used) t.ok(names.has(name) || OWN.has(name), `${name} of ${expression}`)
  }
  t.same(metricsIn('sum by (le) (rate(invented_total{a="b"}[5m])) > 1e6 and up'), ['invented_total', 'up'], 'an invented one would be found')
})

t.test('every alert has a test in which it fires and one in which it does not', async (t) => {
  const cases = tests.tests.flatMap(({ alert_rule_test: cases }) => cases)
  for (const { alert } of rules) {
    t.ok(cases.some(({ alertname, exp_alerts: expected }) => alertname === alert && expected.length > 0), `${alert} fires`)
    t.ok(cases.some(({ alertname, exp_alerts: expected }) => alertname === alert && expected.length === 0), `${alert} does not`)
  }
})

t.test('the dashboards show every metric of the service, each under a name of its own', async (t) => {
  const app = await buildApp(t, { ROLE: 'all' })
  const names = new Set(shown.flatMap(metricsIn).map(name => name.replace(/_(?:bucket|sum|count)$/, '')))
  const own = app.metrics.registry.getMetricsAsArray().map(({ name }) => name)
  t.ok(own.length > 5)
  t.ok(own.includes('http_request_duration_seconds'))
  for (const name of own) t.ok(names.has(name), name)
  t.equal(new Set(dashboards.map(({ uid }) => uid)).size, dashboards.length)
})
