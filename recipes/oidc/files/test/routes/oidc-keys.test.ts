// The keys that the issuer signs ID tokens with.
import t from 'tap'
import { Browser, atIssuer, begin, landing } from '../helpers/oidc-issuer.ts'
import { signInService } from '../helpers/oidc-sign-in.ts'

const { issuer, app, person, accountOf } = await signInService(t)

t.test('keys that the issuer has rotated are believed at once, and those before no more', async t => {
  const { name } = person()
  const { id } = await accountOf(name)
  await issuer.rotateKeys()
  t.equal((await accountOf(name)).id, id)
  await issuer.rotateKeys()
  t.equal((await accountOf(name)).id, id)
})

t.test('an ID token of a key that the issuer does not publish is none', async t => {
  const browser = new Browser()
  const back = await atIssuer(browser, await begin(app, browser), person().name)
  const served = app.oidc
  t.ok(served)
  // The keys are fetched after the token: by then they are others.
  const { fetch } = globalThis
  t.teardown(() => { globalThis.fetch = fetch })
  globalThis.fetch = async (url, options) => {
    if (String(url).endsWith('/jwks')) await issuer.rotateKeys()
    return await fetch(url, options)
  }
  t.match(landing(await browser.visit(app, back)).values, { error: 'SIGN_IN_FAILED' })
})
