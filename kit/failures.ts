/**
 * What failed in the TAP output of a test file, outermost test first: `a test › its assertion`.
 * A test that failed because of what is in it is not named by itself.
 */
export function failuresOf (tap: string): string[] {
  const failures: string[] = []
  const parents: string[] = []
  let isComplete = false
  /** The depth of the last failure that no passed test has come behind. */
  let failedAt = -1
  /** What ends the diagnostics that the line is in: they quote anything. */
  let quoting: string | undefined
  for (const line of tap.split('\n')) {
    if (quoting !== undefined) {
      if (line.trimEnd() === quoting) quoting = undefined
      continue
    }
    const [, indent = '', rest = ''] = /^((?: {4})*)(.*)$/.exec(line) ?? []
    const depth = indent.length / 4
    if (rest === '  ---') quoting = `${indent}  ...`
    if (depth === 0 && /^(1\.\.\d+|Bail out!)/.test(rest)) isComplete = true
    const point = /^(?:# Subtest: (?<title>.*)|(?<not>not )?ok\b(?: \d+)?(?: - )?(?<text>.*?)(?<time> # time=[\d.]+m?s)?(?<opens> \{)?)$/.exec(rest)?.groups
    if (!point) continue
    const { title, not, text = '', opens } = point
    if (title !== undefined || opens !== undefined) {
      parents[depth] = title ?? text
      continue
    }
    if (not && failedAt <= depth && !/ # (SKIP|TODO)/i.test(text)) failures.push([...parents.slice(0, depth), text].join(' › '))
    if (not) failedAt = depth
    else if (failedAt > depth) failedAt = -1
  }
  if (!isComplete) failures.push('did not come to its end')
  return failures
}
