import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The paths of the files of a checkout: those that git knows or would add, and that are there. What was deleted and is not committed git still lists. */
export function checkoutFiles (root: string): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).split('\0')
  return [...new Set(listed)].filter(path => path !== '' && existsSync(join(root, path)))
}
