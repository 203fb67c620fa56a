// The settings of webhooks.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../plugins/config/index.ts'
import { problemsOf, production } from '../helpers/config.ts'

const secret = `whsec_${'A'.repeat(32)}`

t.test('webhooks go to https URLs, in development also to this machine, and are signed', async (t) => {
  const newer = `whsec_${'B'.repeat(85)}A==`
  const WEBHOOK_URLS = 'https://a.example/hook?key=1, http://127.0.0.1:4000/hook,https://a.example/hook?key=1'
  t.match(loadConfig({ WEBHOOK_URLS, WEBHOOK_SECRET: `${secret}, ${newer}` }), { WEBHOOK_URLS: ['https://a.example/hook?key=1', 'http://127.0.0.1:4000/hook'], WEBHOOK_SECRET: [secret, newer] })
  t.match(problemsOf({ ...production, WEBHOOK_URLS, WEBHOOK_SECRET: secret }), [/^WEBHOOK_URLS: expected https/])
  t.match(problemsOf({ WEBHOOK_URLS }), [/^WEBHOOK_URLS: needs WEBHOOK_SECRET/])
  const file = join(t.testdir(), 'secret')
  writeFileSync(file, secret)
  t.match(loadConfig({ WEBHOOK_URLS, WEBHOOK_SECRET_FILE: file }), { WEBHOOK_SECRET: [secret] })
  t.match(loadConfig({ WEBHOOK_SECRET: secret }), { WEBHOOK_URLS: [] }, 'the secret may be there before the URLs')
})

for (const value of ['secret', 'whsec_c2hvcnQ=', `${secret},whsec_$$$`, `whsec_${'A'.repeat(92)}`]) {
  t.test(`WEBHOOK_SECRET=${value.slice(0, 30)} is refused by name`, async (t) => {
    t.match(problemsOf({ WEBHOOK_SECRET: value }), [/^WEBHOOK_SECRET: /])
  })
}

for (const url of ['http://hooks.example/', 'hooks.example', 'https://user:hunter2@hooks.example/', 'file:///etc/passwd', Array.from({ length: 21 }, (_, n) => `https://hooks.example/${n}`).join()]) {
  t.test(`WEBHOOK_URLS=${url.slice(0, 30)} is refused by name`, async (t) => {
    t.match(problemsOf({ WEBHOOK_URLS: url, WEBHOOK_SECRET: secret }), [/^WEBHOOK_URLS: expected/])
  })
}

t.test('their values are never in the message', async (t) => {
  t.notMatch(problemsOf({ WEBHOOK_URLS: 'http://hooks.example/hunter2', WEBHOOK_SECRET: 'hunter2' }).join(), /hunter2/)
})
