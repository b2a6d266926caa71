/** Writes several files, or none of them. */
import { randomBytes } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandError } from './terminal.js'

/** The text of a file; undefined if there is none. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CommandError(`Cannot read ${path}: ${(error as Error).message}`)
  }
}

/** The TypeScript files below a folder. */
export function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.includes('node_modules'))
      .map((path) => join(folder, path))
      .filter((path) => statSync(path).isFile())
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    if (code === 'ENOTDIR')
      throw new CommandError(`${folder} is a file: --out takes a file that ends with .ts, or a folder`)
    throw new CommandError(`Cannot read ${folder}: ${(error as Error).message}`)
  }
}

/** Writes all files beside their places first, so that a full disk or a missing right is noticed before one of them is replaced. */
export function writeAll(files: readonly { readonly path: string; readonly text: string }[]): void {
  const mark = `.lifeguard-${randomBytes(4).toString('hex')}`
  const written: string[] = []
  const made: string[] = []
  let isDone = false
  const folder = files.find(({ path }) => isFolder(path))
  if (folder !== undefined)
    throw new CommandError(`Cannot write ${folder.path}: it is a folder. Nothing was changed`)
  try {
    for (const { path, text } of files) {
      makeFolder(dirname(path), made)
      written.push(path + mark)
      writeFileSync(path + mark, text, { flag: 'wx' })
    }
    for (const { path } of files) renameSync(path + mark, path)
    isDone = true
  } catch (error) {
    throw new CommandError(`Cannot write: ${(error as Error).message}. Nothing was changed`)
  } finally {
    for (const path of written) rmSync(path, { force: true })
    if (!isDone) for (const path of made.reverse()) removeEmpty(path)
  }
}

/** `mkdirSync` with `recursive` never ends below `/proc`, where a folder of a folder that is there cannot be made. */
function makeFolder(path: string, made: string[]): void {
  if (isFolder(path)) return
  const parent = dirname(path)
  if (parent !== path) makeFolder(parent, made)
  try {
    mkdirSync(path)
    made.push(path)
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isFolder(path)) throw error
  }
}

export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    // What it is that cannot be looked at is told by what is done next.
    return false
  }
}

/** A folder that another process has used meanwhile stays. */
function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error
  }
}
