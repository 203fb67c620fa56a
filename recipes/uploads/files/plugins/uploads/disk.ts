import { createWriteStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { StorageError, type FileStorage } from './storage.ts'

/** Its owner's alone. */
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Files in a folder. One is written to `partial/` and renamed when it is on the disk, so that whoever reads the folder,
 * and whoever loses the power, sees it whole or not at all. In 256 folders by the end of its id, which is random.
 */
export function diskStorage (folder: string): FileStorage & { prepare: () => Promise<void> } {
  const partial = join(folder, 'partial')
  /** Makes the folders, so that a start fails where nothing could be written. */
  const prepare = async () => { await mkdir(partial, { recursive: true, mode: FOLDER_MODE }) }

  return {
    prepare,
    async write (key, content) {
      const [from, to] = [partOf(key), placeOf(key)]
      try {
        await prepare()
        await pipeline(content, createWriteStream(from, { flags: 'wx', mode: FILE_MODE, flush: true }))
        await mkdir(dirname(to), { recursive: true, mode: FOLDER_MODE })
        await rename(from, to)
        await synced(dirname(to))
      } catch (error) {
        await rm(from, { force: true }).catch(() => {})
        throw new StorageError('stored', error)
      }
    },
    async read (key, range) {
      const path = placeOf(key)
      try {
        return (await open(path)).createReadStream(range)
      } catch (error) {
        throw new StorageError('read', error)
      }
    },
    async remove (key) {
      const paths = [partOf(key), placeOf(key)]
      try {
        for (const path of paths) await rm(path, { force: true })
      } catch (error) {
        throw new StorageError('removed', error)
      }
    },
    close () {}
  }

  function partOf (key: string): string {
    return join(partial, checked(key))
  }

  function placeOf (key: string): string {
    return join(folder, checked(key).slice(-2), key)
  }
}

/** Only ids ever become paths. */
function checked (key: string): string {
  if (!UUID.test(key)) throw new TypeError('the key of a file is a UUID')
  return key
}

/** The new name is on the disk as well. */
async function synced (folder: string): Promise<void> {
  const handle = await open(folder)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
