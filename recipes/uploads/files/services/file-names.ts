/** File systems take no more, in bytes. */
const MAX_BYTES = 255
const MAX_EXTENSION = 16
/** What is not to be seen, or turns the direction of what is: `exe.jpg` would be shown for `gpj.exe`. */
const INVISIBLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu

/**
 * A name to show and to save a file under, from whatever a client sent: the last part of a path, in one spelling (NFC), without
 * what is invisible, not hidden, and no longer than a file system takes. It is never part of a path here.
 */
export function fileName (sent: string | undefined): string {
  const last = (sent ?? '').split(/[/\\]/).at(-1) ?? ''
  const visible = last.toWellFormed().normalize('NFC').replaceAll(INVISIBLE, '').replaceAll(/[<>:"|?*]/g, '_').replaceAll(/\s+/g, ' ').trim()
  const name = visible.replace(/^\.+/, '').replace(/[. ]+$/, '')
  return clipped(name) || 'file'
}

/** Its end says what it is: that stays. */
function clipped (name: string): string {
  if (Buffer.byteLength(name) <= MAX_BYTES) return name
  const extension = /\.[^. ]+$/.exec(name)?.[0] ?? ''
  const kept = extension.length <= MAX_EXTENSION ? extension : ''
  let stem = ''
  let room = MAX_BYTES - Buffer.byteLength(kept)
  for (const { segment } of new Intl.Segmenter().segment(name.slice(0, name.length - kept.length))) {
    room -= Buffer.byteLength(segment)
    if (room < 0) break
    stem += segment
  }
  return stem.trimEnd() + kept
}
