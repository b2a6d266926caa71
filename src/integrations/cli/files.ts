/** Writes several files, or none of them. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandError } from './terminal.js'

/** The text of a file; undefined if there is none. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
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
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new CommandError(`Cannot read ${folder}: ${(error as Error).message}`)
  }
}

/** Writes all files beside their places first, so that a full disk or a missing right is noticed before one of them is replaced. */
export function writeAll(files: readonly { readonly path: string; readonly text: string }[]): void {
  const mark = `.lifeguard-${randomBytes(4).toString('hex')}`
  const written: string[] = []
  const folder = files.find(({ path }) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
  if (folder !== undefined)
    throw new CommandError(`Cannot write ${folder.path}: it is a folder. Nothing was changed`)
  try {
    for (const { path, text } of files) {
      mkdirSync(dirname(path), { recursive: true })
      written.push(path + mark)
      writeFileSync(path + mark, text, { flag: 'wx' })
    }
    for (const { path } of files) renameSync(path + mark, path)
  } catch (error) {
    throw new CommandError(`Cannot write: ${(error as Error).message}. Nothing was changed`)
  } finally {
    for (const path of written) rmSync(path, { force: true })
  }
}
