/** Types of extensions: citext, hstore, and the vectors of pgvector. */
import type { Column } from '../../index.js'
import {
  asIs,
  columnOf,
  encodeFloat,
  encodeText,
  extensionOf,
  kindOf,
  qualified,
  refused,
} from './text-column.js'

/** Options of the types of extensions. */
export interface ExtensionOptions {
  /** The schema of the extension. Default: found by the search path. */
  readonly schema?: string | undefined
}

/** Options of {@link vector}. */
export interface VectorOptions extends ExtensionOptions {
  /** How many numbers a value has, at least 1. Default: any number. */
  readonly dimensions?: number | undefined
}

/** Text that is compared without regard to the case of its letters. A change of case alone is a change, and is stored. Extension `citext`. */
export function citext<Value extends string = string>(
  name?: string | ExtensionOptions,
  options?: ExtensionOptions,
): Column<Value | null> {
  const { own, schema } = given(name, options)
  const column = columnOf<Value>(own, {
    ddl: typeName('citext', schema),
    decode: asIs as (text: string) => Value,
    encode: encodeText,
    declared: [extensionOf('citext', schema)],
  })
  // Keys that differ in case alone name one row.
  const type = { ...column.definition.type, normal: (text: string) => text.toLowerCase() }
  return new (column.constructor as typeof Column)({ ...column.definition, type })
}

/**
 * Strings by key; values may be null: `{ size: 'L', color: null }`. Extension `hstore`. See {@link hasKey} and {@link contains}.
 */
export function hstore(
  name?: string | ExtensionOptions,
  options?: ExtensionOptions,
): Column<Record<string, string | null> | null> {
  const { own, schema } = given(name, options)
  return columnOf<Record<string, string | null>>(own, {
    ddl: typeName('hstore', schema),
    declared: [extensionOf('hstore', schema)],
    decode: parseStore,
    encode: writeStore,
    normal: (text) => writeStore(sorted(parseStore(text))),
  })
}

/**
 * The numbers of an embedding, in single precision. Extension `vector` (pgvector). Order by {@link distance} to find what is near.
 * @example
 * embedding: vector({ dimensions: 1536 })
 */
export function vector(
  name?: string | VectorOptions,
  options?: VectorOptions,
): Column<readonly number[] | null> {
  const { own, schema, dimensions } = given(name, options)
  const type = typeName('vector', schema)
  return columnOf<readonly number[]>(own, {
    ddl: dimensions === undefined ? type : `${type}(${dimensions})`,
    cast: type,
    declared: [extensionOf('vector', schema)],
    decode: (text) => text.slice(1, -1).split(',').filter(Boolean).map(Number),
    encode: (value) => {
      if (!Array.isArray(value) && !ArrayBuffer.isView(value))
        throw refused(`takes an array of numbers, not ${kindOf(value)}`)
      return `[${Array.from(value as readonly number[], encodeFloat).join()}]`
    },
    normal: (text) => text.slice(1, -1).split(',').map(Number).map(Math.fround).join(),
    ...(dimensions !== undefined && {
      refusal: (value: readonly number[]) =>
        value.length === dimensions ? undefined : `takes ${dimensions} numbers, not ${value.length}`,
    }),
  })
}

/** The options, with the name of the column if there is one: the first argument may be either. */
function given<Options extends ExtensionOptions>(
  name: string | Options | undefined,
  options: Options | undefined,
): Partial<Options> & { readonly own?: string } {
  if (typeof name === 'object') return name
  return { ...options, ...(name !== undefined && { own: name }) } as Partial<Options> & {
    readonly own?: string
  }
}

function typeName(name: string, schema: string | undefined): string {
  return schema === undefined ? name : qualified(name, schema)
}

function writeStore(value: Record<string, string | null>): string {
  if (!isPlain(value)) {
    const kind = kindOf(value)
    throw refused(
      `takes a plain object of strings, not ${kind === 'an object' ? 'one of another class' : kind}`,
    )
  }
  return Object.entries(value)
    .map(([key, item]) => `${quote(encodeText(key))}=>${item === null ? 'NULL' : quote(encodeText(item))}`)
    .join(', ')
}

/** A Date or a Map has no properties of its own to store, and would become an empty hstore. */
function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

function sorted(value: Record<string, string | null>): Record<string, string | null> {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

const PAIR = /\s*"((?:[^"\\]|\\[^])*)"=>(?:NULL|"((?:[^"\\]|\\[^])*)")(?:,|$)/y

/** PostgreSQL quotes every key and every value. */
function parseStore(text: string): Record<string, string | null> {
  const entries: [string, string | null][] = []
  const pair = new RegExp(PAIR)
  while (pair.lastIndex < text.length) {
    const match = pair.exec(text)
    if (match === null) throw refused('holds what is no hstore')
    const [, key = '', value] = match
    entries.push([unquote(key), value === undefined ? null : unquote(value)])
  }
  // Not an assignment: a key may be called __proto__.
  return Object.fromEntries(entries)
}

function unquote(text: string): string {
  return text.replaceAll(/\\([^])/g, '$1')
}
