/** Whether a version may break what an older one promised (semver): a new major, or before 1.0 a new minor. */
export function mayBreak (before: string, after: string): boolean {
  const [from, to] = [before, after].map(version => version.split('-', 1)[0]?.split('.').map(Number) ?? []) as [number[], number[]]
  const [major = 0, minor = 0] = from
  const [newMajor = 0, newMinor = 0] = to
  return newMajor > major || (newMajor === 0 && major === 0 && newMinor > minor)
}
