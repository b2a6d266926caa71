/** Removes the frames of the library from stacks, so that a stack begins with the line that called the library. */
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * The place of a frame: `at name (file:///dir/name.js:1:2)`, `at async /dir/name.cjs:1:2`, `at C:\dir\name.js:1:2`. Folders may
 * have brackets: `at name (C:\Program Files (x86)\name.js:1:2)`.
 */
const PLACE = /^at (?:.*? \((.*):\d+:\d+\)|(?:async )?(.*):\d+:\d+)$/
/** Frames of the library between the caller and the place where a stack is captured. */
const OWN_FRAMES = 24

/**
 * Folder of the library, with its last slash: `dist/` as published (its subpaths are there, too), `src/` in its repository. As a
 * path and as a URL, because frames of CommonJS have paths, those of ES modules URLs, and `dist/` has files of both kinds.
 */
const FOLDERS = bothForms(libraryFolder(new Error().stack))

/** The folder of a stack that was captured in this file. Undefined if the process shows stacks in another form. */
export function libraryFolder(stack: unknown): string | undefined {
  if (typeof stack !== 'string') return undefined
  const frame = stack.split('\n').find((line) => /^\s+at /.test(line))
  return fileOf(frame ?? '')
    ?.replace(/[^\\/]*$/, '')
    .replace(/([\\/])internal[\\/]$/, '$1')
}

/** A folder as it is in frames of CommonJS, and of ES modules. */
export function bothForms(folder: string | undefined): readonly string[] {
  if (folder === undefined) return []
  const isUrl = folder.startsWith('file:')
  return [folder, isUrl ? fileURLToPath(folder) : pathToFileURL(folder).href]
}

function fileOf(frame: string): string | undefined {
  const [, inBrackets, plain] = PLACE.exec(frame.trim()) ?? []
  return inBrackets ?? plain
}

function isOwn(frame: string, folders: readonly string[]): boolean {
  return folders.some((folder) => frame.includes(folder) && fileOf(frame)?.startsWith(folder) === true)
}

function isPlace(frame: string): boolean {
  return fileOf(frame) !== undefined && !frame.includes('node:')
}

/**
 * The stack without frames of the library, and not longer than the limit of the process. Unchanged if nothing else is left: the
 * library may be bundled in one file with its user.
 */
export function withoutOwnFrames(stack: string, folders: readonly string[] = FOLDERS): string {
  const lines = stack.split('\n')
  const first = lines.findIndex((line) => /^\s+at /.test(line))
  if (first === -1) return stack
  const frames = lines.slice(first).filter((line) => !isOwn(line, folders))
  // Frames of the runtime above the first place, such as `Array.map`, were called by the library.
  const start = frames.findIndex(isPlace)
  if (start === -1) return lines.slice(0, first + Error.stackTraceLimit).join('\n')
  return [...lines.slice(0, first), ...frames.slice(start, start + Error.stackTraceLimit)].join('\n')
}

/** A function or a class: its frame, and those below it, are left out. */
type Above = ((...parameters: never[]) => unknown) | (new (...parameters: never[]) => unknown)

/** Captures the stack of an object, from the caller of `above` on, without frames of the library. */
export function captureStack(target: { stack?: string }, above: Above): void {
  const stack = captureWithOwnFrames(target, above)
  if (stack !== '') target.stack = withoutOwnFrames(stack)
}

/**
 * As {@link captureStack}, but returns the stack with frames of the library, longer than the limit of the process: for
 * `withoutOwnFrames`. Empty if the process shows stacks in another form than text (`Error.prepareStackTrace`).
 */
export function captureWithOwnFrames(target: { stack?: string }, above: Above): string {
  captureUnread(target, above)
  return textOf(target)
}

/** Reads a captured stack. Empty if the process shows stacks in another form than text. */
export function textOf({ stack }: { readonly stack?: unknown }): string {
  return typeof stack === 'string' ? stack : ''
}

/** Captures a stack whose text V8 makes when it is read: much cheaper, but it keeps the objects of its frames alive until then. */
export function captureUnread(target: { stack?: string }, above: Above): void {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = stackTraceLimit + OWN_FRAMES
  Error.captureStackTrace(target, above)
  Error.stackTraceLimit = stackTraceLimit
}

/** The first line of a stack outside of the library, without the word `at`; undefined if there is none. */
export function lineOfCaller(stack: unknown): string | undefined {
  if (typeof stack !== 'string') return undefined
  const frame = stack.split('\n').find((line) => isPlace(line) && !isOwn(line, FOLDERS))
  return frame?.trim().replace(/^at (?:async )?/, '')
}
