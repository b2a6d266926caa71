/**
 * Checks of options. The messages name the value, the allowed values and the probable intention.
 *
 * 1. A value is never corrected silently: it is used as given, or refused with `InvalidOptionError`.
 * 2. A value that could be a secret is never printed; only its type is.
 */
import { InvalidOptionError } from '../errors.js'
import { didYouMean } from './nearest-name.js'
import { noProperties } from './no-value.js'
import { isArray, isFunction, isInstance, isObject, isRevoked, REVOKED } from './revoked.js'

/** Bounds of a number, both inclusive, and values outside them that have a meaning of their own. */
export interface NumberRange<Also extends number | null = never> {
  readonly min: number
  /** Default: `Number.MAX_SAFE_INTEGER`. */
  readonly max?: number
  /** For example `[null, -1]`. Infinity is refused unless it stands here. */
  readonly also?: readonly Also[]
}

/** A longer list of options would hide what is wrong. */
const MOST_LISTED = 8

/** @throws InvalidOptionError when `input` is no plain bag of options: null, an array, a primitive, a promise, a Map. */
export function checkObject(option: string, input: unknown, hint = ''): asserts input is object {
  const other = isObject(input) && !Array.isArray(input) ? noProperties(input) : describe(input)
  if (other !== undefined)
    throw new InvalidOptionError(option, `${option} must be an object, not ${other}${hint}`)
}

/**
 * @param elsewhere Names of other libraries for options that have another name here.
 * @throws InvalidOptionError if `input` is no object, and for the first key of `input` that is not known, with the nearest known one.
 */
export function refuseUnknownKeys(
  where: string,
  input: object,
  known: readonly string[],
  elsewhere: Readonly<Record<string, string>> = {},
): void {
  const isShort = known.length > 0 && known.length <= MOST_LISTED
  const list = isShort ? `; it has ${known.join(', ')}` : ''
  checkObject(`the options of ${where}`, input, isShort ? `: { ${known.join(', ')} }` : '')
  for (const key of Object.keys(input)) {
    if (known.includes(key)) continue
    const nearest = Object.hasOwn(elsewhere, key) ? `; here it is ${elsewhere[key]}` : didYouMean(key, known)
    throw new InvalidOptionError(key, `${where} has no option '${key}'${nearest === '' ? list : nearest}`)
  }
}

/** A whole number in the range. @throws InvalidOptionError */
export function checkInteger<Also extends number | null = never>(
  option: string,
  value: unknown,
  range: NumberRange<Also>,
): number | Also {
  return checkNumber(option, value, range, 'a whole number', Number.isInteger)
}

/** A duration in milliseconds, fractions allowed. @throws InvalidOptionError */
export function checkMillis<Also extends number | null = never>(
  option: string,
  value: unknown,
  range: NumberRange<Also>,
): number | Also {
  return checkNumber(option, value, range, MILLIS, Number.isFinite)
}

const MILLIS = 'a number of milliseconds'

/** What a value outside of the range of a duration means. */
function meaningOf(value: number | null, kind: string): string {
  if (kind !== MILLIS || (value !== null && value !== -1)) return ''
  return value === null ? ' (no limit)' : ' (never)'
}

/** @throws InvalidOptionError */
export function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new InvalidOptionError(option, `${option} must be true or false, not ${describe(value)}`)
}

/** A string that is not empty. @throws InvalidOptionError */
export function checkString(option: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new InvalidOptionError(option, `${option} must be a string that is not empty, not ${typeOf(value)}`)
}

/** @throws InvalidOptionError for what PostgreSQL cannot be sent as it is: NUL ends a text, and half a character would become U+FFFD. */
export function refuseUnsendable(option: string, text: string): void {
  if (!text.includes('\0') && text.isWellFormed()) return
  throw new InvalidOptionError(
    option,
    `${option} holds a NUL character, or half a character (a lone surrogate)`,
  )
}

/** An AbortSignal. @throws InvalidOptionError */
export function checkSignal(option: string, value: unknown): AbortSignal {
  if (isInstance(value, AbortSignal)) return value
  throw new InvalidOptionError(option, `${option} must be an AbortSignal, not ${typeOf(value)}`)
}

/** @throws InvalidOptionError if the application has called the constructor of a class that a function of ours makes. */
export function requireMade<Parts extends object>(
  parts: Parts | undefined,
  part: keyof Parts,
  what: string,
  call: string,
): void {
  if (parts?.[part] !== undefined) return
  throw new InvalidOptionError('new', `${what} is not made with new, but by ${call}`)
}

/** A callback. @throws InvalidOptionError */
export function checkFunction(where: string, value: unknown): void {
  if (isFunction(value)) return
  const isCalled = isInstance(value, Promise)
  const given = isCalled ? 'a promise: give the function itself, without calling it' : typeOf(value)
  const order = isObject(value) && !isCalled ? `; its options follow the function: ${where}(fn, options)` : ''
  throw new InvalidOptionError(where, `${where} takes a function, not ${given}${order}`)
}

/** A callback that is called without `new`: a class is refused here, before its call would throw. @throws InvalidOptionError */
export function checkCallback(where: string, value: unknown): void {
  checkFunction(where, value)
  if (!isClass(value as (...args: never) => unknown)) return
  throw new InvalidOptionError(where, `${where} takes a function, not a class`)
}

/** Arrow functions, methods and async functions have no `prototype`: they cost one look. */
function isClass(callable: (...args: never) => unknown): boolean {
  if (callable.prototype === undefined) return false
  if (Object.getOwnPropertyDescriptor(callable, 'prototype')?.writable !== false) return false
  return Function.prototype.toString.call(callable).startsWith('class')
}

/** One of a few values. @throws InvalidOptionError */
export function checkOneOf<const Value extends string | number | boolean | null>(
  option: string,
  value: unknown,
  allowed: readonly Value[],
): Value {
  const found = allowed.find((candidate) => candidate === value)
  if (found !== undefined) return found
  const list = allowed
    .map((candidate) => (typeof candidate === 'string' ? `'${candidate}'` : String(candidate)))
    .join(', ')
  const names = allowed.filter((candidate) => typeof candidate === 'string')
  const hint = typeof value === 'string' ? didYouMean(value, names) : ''
  throw new InvalidOptionError(option, `${option} must be one of ${list}, not ${describe(value)}${hint}`)
}

function checkNumber<Also extends number | null>(
  option: string,
  value: unknown,
  range: NumberRange<Also>,
  kind: string,
  isKind: (value: unknown) => boolean,
): number | Also {
  const { min, max = Number.MAX_SAFE_INTEGER, also = [] } = range
  const special = also.find((candidate) => candidate === value)
  if (special !== undefined) return special
  if (typeof value === 'number' && isKind(value) && value >= min && value <= max) return value
  const upper =
    max === Number.MAX_SAFE_INTEGER ? `of at least ${String(min)}` : `from ${String(min)} to ${String(max)}`
  const others = also.map((candidate) => ` or ${String(candidate)}${meaningOf(candidate, kind)}`).join('')
  throw new InvalidOptionError(option, `${option} must be ${kind} ${upper}${others}, not ${describe(value)}`)
}

/** Numbers, booleans and short plain words are shown; anything else could be a secret and is named by its type. */
/** Names in an array: the characters of a text would be taken for names. @throws InvalidOptionError */
export function requireNames(option: string, names: unknown): void {
  if (isArray(names) && names.every((name) => typeof name === 'string')) return
  throw new InvalidOptionError(
    option,
    `${option} takes names of properties in an array, not ${describe(names)}`,
  )
}

function describe(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string' && /^[\w-]{0,16}$/.test(value)) return `'${value}'`
  return typeOf(value)
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (isRevoked(value)) return REVOKED
  if (Array.isArray(value)) return 'an array'
  if (value === '') return 'an empty string'
  return value === undefined ? 'undefined' : `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`
}
