/**
 * JavaScript objects that are not data (functions, promises, iterators, ...): they would be sent as `{}`, as their source, or as the
 * numbers of their bytes.
 */
import { types } from 'node:util'
import { isRevoked, REVOKED } from './revoked.js'

/**
 * What an object is that cannot be sent and does not say itself how (`toJSON`, `toPostgres`), with the remedy; undefined for
 * arrays, plain objects, and objects of classes that have properties.
 */
export function noValue(value: object): string | undefined {
  if (isRevoked(value)) return REVOKED
  if (Array.isArray(value)) return undefined
  for (const [is, what] of KINDS) if (is(value)) return what
  // The class of another realm has a prototype like ours.
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return undefined
  if (isFragment(value)) return 'a fragment of SQL: it can only be a part of a statement'
  if (Object.keys(value).length > 0) return undefined
  return `an object of the class ${nameOf(prototype)}, which has no properties to send`
}

/**
 * What an object is that holds no properties of its own to read, such as a Set, or a promise where an `await` is missing: as options, or
 * as a row, it would count as `{}`. Undefined for all others.
 */
export function noProperties(value: object): string | undefined {
  if (isRevoked(value)) return REVOKED
  if (Array.isArray(value) || Object.keys(value).length > 0) return undefined
  for (const [is, what] of KINDS) {
    if (is(value)) return types.isDate(value) ? 'a Date' : what.replace(/:.*/, '')
  }
  return undefined
}

const KINDS: readonly (readonly [is: (value: object) => boolean, what: string])[] = [
  [types.isSet, 'a Set: spread it into an array ([...set])'],
  [types.isMap, 'a Map: give Object.fromEntries(map) or [...map]'],
  [(value) => typeof (value as { then?: unknown }).then === 'function', 'a promise (an await is missing)'],
  [(value) => types.isNativeError(value) || value instanceof Error, 'an Error: give its message'],
  [types.isRegExp, 'a RegExp: give its source'],
  // A valid Date has `toJSON`.
  [types.isDate, 'an invalid Date'],
  [
    (value) => ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value),
    'bytes: give text, base64 for example',
  ],
  [
    (value) => Symbol.iterator in value || Symbol.asyncIterator in value,
    'an iterator: make an array of it (Array.from)',
  ],
]

/** Ours, of whichever copy of the package, or Drizzle's. */
function isFragment(value: object): boolean {
  return (
    'getSQL' in value ||
    'toEntityQuery' in value ||
    ('text' in value && 'parts' in value && 'values' in value)
  )
}

function nameOf({ constructor }: { readonly constructor?: unknown }): string {
  return typeof constructor === 'function' && constructor.name !== '' ? constructor.name : '(anonymous)'
}
