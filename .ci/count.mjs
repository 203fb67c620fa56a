// Counts the assertions of a TAP log, deepest level only: `count.mjs total|pass|skip FILE`.
import { readFileSync } from 'node:fs'

const [, , what, file] = process.argv
const lines = readFileSync(file, 'utf8').split('\n')
const depth = line => line.length - line.trimStart().length
// A point followed by nothing deeper before it is an assertion; one that closes a subtest is its summary.
let deepest = 0
let [pass, fail, skip] = [0, 0, 0]
for (const line of lines) {
  const point = /^ *(not )?ok\b(.*)/.exec(line)
  if (!point) continue
  const level = depth(line)
  const summary = level < deepest
  deepest = level
  if (/ # SKIP TEST_DATABASE_URL is not set/.test(point[2])) {
    if (process.env.TEST_DATABASE_URL) skip++
  } else if (/ # (SKIP|TODO)/i.test(point[2])) skip++
  else if (summary) continue
  else if (point[1]) fail++
  else pass++
}
console.log({ total: pass + fail, pass, skip }[what])
