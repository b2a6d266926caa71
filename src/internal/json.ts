/**
 * Writes a JSON document as `JSON.stringify` does, with two differences.
 *
 * 1. Values that JSON would drop or change silently are refused, with their place: Set, Map, NaN, functions, invalid dates, ... (An
 *    `undefined` property is left out, as in `JSON.stringify`.)
 * 2. Documents may be nested as deeply as PostgreSQL accepts (about 16,000 levels); `JSON.stringify` fails at a few thousand.
 */
import { types } from 'node:util'
import { noValue } from './no-value.js'
import { withPlainMessage } from './plain-errors.js'

/** A document that cannot be written. The message says what is in the way and where, never a value. */
export class NoDocument extends Error {
  override readonly name = 'NoDocument'
}

/** @throws NoDocument; what a `toJSON` or a getter of the caller throws. */
export function jsonTextOf(document: unknown): string {
  return isSimple(document, 0) ? JSON.stringify(document) : writeDocument(document)
}

/** Recursive functions stop at this depth, so that they do not overflow the call stack. */
export const DEEPEST_RECURSION = 200

/** Whether `JSON.stringify` writes all of it: nothing but plain data, and not too deep. Costs a sixth of writing it. */
function isSimple(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value)
    case 'undefined':
      return depth > 0
    case 'object':
      if (value === null) return true
      if (depth > DEEPEST_RECURSION) return false
      if (Array.isArray(value)) {
        for (let index = 0; index < value.length; index++)
          if (!isSimple(value[index], depth + 1)) return false
        return true
      }
      if (Object.getPrototypeOf(value) !== Object.prototype || 'toJSON' in value) return false
      for (const name in value) {
        if (!isSimple((value as Record<string, unknown>)[name], depth + 1)) return false
      }
      return true
    default:
      return false
  }
}

/** A container that is being written. */
interface Level {
  readonly container: object
  /** Names of the properties that are written; undefined for an array. */
  readonly names: readonly string[] | undefined
  /** The next element. */
  at: number
  /** Something was written into it. */
  begun: boolean
}

/** Writes the document with a stack of its own instead of recursion, which deep documents would overflow. */
function writeDocument(document: unknown): string {
  const levels: Level[] = []
  const open = new Set<object>()
  const parts: string[] = []
  const refuse = (what: string): never => {
    // Names of properties may be data.
    throw withPlainMessage(
      new NoDocument(levels.length === 0 ? what : `${what} (at ${placeOf(levels)})`),
      what,
    )
  }
  const enter = (given: unknown, key: string): void => {
    const value = ownForm(given, key)
    if (typeof value !== 'object' || value === null) {
      parts.push(wordOf(value, refuse))
      return
    }
    const reason = noValue(value)
    if (reason !== undefined) refuse(reason)
    if (open.has(value)) refuse('an object that holds itself')
    open.add(value)
    const names = Array.isArray(value) ? undefined : Object.keys(value)
    parts.push(names === undefined ? '[' : '{')
    levels.push({ container: value, names, at: 0, begun: false })
  }
  enter(document, '')
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const { container, names } = level
    const length = names?.length ?? (container as unknown[]).length
    if (level.at === length) {
      parts.push(names === undefined ? ']' : '}')
      open.delete(container)
      levels.pop()
      continue
    }
    const at = level.at++
    const key = names?.[at] ?? String(at)
    const value = (container as Record<string, unknown>)[key]
    if (value === undefined && names !== undefined) continue
    if (level.begun) parts.push(',')
    level.begun = true
    if (names !== undefined) parts.push(JSON.stringify(key), ':')
    enter(value === undefined ? null : value, key)
  }
  return parts.join('')
}

/** The form of a value in JSON: the result of its `toJSON`, if it has one. */
function ownForm(value: unknown, key: string): unknown {
  if (typeof value === 'bigint' || (typeof value === 'object' && value !== null)) {
    if (types.isDate(value) && Number.isNaN(value.getTime())) return value
    const { toJSON } = value as { toJSON?: unknown }
    const form: unknown = typeof toJSON === 'function' ? toJSON.call(value, key) : value
    return types.isBoxedPrimitive(form) ? form.valueOf() : form
  }
  return value
}

/** A value that is no container. */
function wordOf(value: unknown, refuse: (what: string) => never): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'boolean':
      return String(value)
    case 'number':
      if (Number.isFinite(value)) return String(value)
      return refuse(Number.isNaN(value) ? 'a number that is not finite' : INFINITE)
    case 'bigint':
      return refuse('a bigint: give a number or a string')
    case 'object':
      return 'null'
    default:
      return refuse(value === undefined ? 'undefined' : `a ${typeof value}`)
  }
}

/** A caller may have read it from a document that PostgreSQL takes. */
const INFINITE =
  'Infinity, which a stored number above 1.8e308 becomes when it is read: give a smaller number or a string'

/** `.tags[0]`: where in the document the value is that is being written. */
function placeOf(levels: readonly Level[]): string {
  const steps = levels.map(({ names, at }) => {
    const name = names?.[at - 1]
    if (name === undefined) return `[${at - 1}]`
    return /^\w{1,40}$/.test(name) ? `.${name}` : '[a name]'
  })
  return steps.length <= MOST_STEPS ? steps.join('') : `${steps.slice(0, MOST_STEPS).join('')}...`
}

const MOST_STEPS = 8
