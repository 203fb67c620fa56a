import { existsSync } from 'node:fs'
import type { Test } from 'tap'
import { chromium, type Browser } from 'playwright-core'

const PATH = '/usr/bin/chromium'
/** Nothing but what the test asks for goes over the network. */
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** For tests that need a browser: skipped, by this name, where Chromium is not installed. */
export const inBrowser = { skip: existsSync(PATH) ? false : 'Chromium is not installed' }

/** Chromium, without a window. Ends with the test. */
export async function startBrowser (t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: PATH, headless: true, args: QUIET })
  t.teardown(() => browser.close())
  return browser
}
