/**
 * How the types of this subpath become columns: each value is a text for PostgreSQL, and different texts may be the same value.
 */
import { Column, InvalidValueError } from '../../index.js'
import type { Codec } from '../../codecs/codec.js'
import type { ColumnType, DeclaredType } from '../../schema/column.js'

/** A type as this subpath describes it. */
export interface TypeForm<Value> {
  /** As in CREATE TABLE. */
  readonly ddl: string
  /** For casts, where `ddl` limits a length. Default: the same. */
  readonly cast?: string
  decode(text: string): Value
  /** @throws InvalidValueError, whose message is put behind the name of the column. It must not show the value. */
  encode(value: Value): string
  /** As `encode`, of a value that takes the place of a stored text. Default: `encode`. */
  encodeOver?(value: Value, stored: string): string
  /** One text for all texts of one value, as far as it is known. Default: no two texts are one value. */
  normal?(text: string): string
  /** Why PostgreSQL would not store a value. */
  readonly refusal?: (value: never) => string | undefined
  readonly delimiter?: string
  readonly declared?: readonly DeclaredType[]
}

/** A column of the type. What two texts say alike is no change at a flush. */
export function columnOf<Value>(name: string | undefined, form: TypeForm<Value>): Column<Value | null> {
  return new Column({ name, nullable: true, type: typeOf(form) })
}

/** The type for a declaration. */
export function typeOf<Value>(form: TypeForm<Value>): ColumnType {
  const { ddl, cast = ddl, refusal, delimiter, declared } = form
  const normal = form.normal?.bind(form)
  const encodeOver = form.encodeOver?.bind(form)
  const codec: Codec<Value> = {
    mutable: true,
    decode: (text) => form.decode(text),
    encode: (value) => form.encode(value),
    ...(encodeOver && { encodeOver }),
    ...(normal && {
      holds(text: string, value: unknown): boolean {
        const written = form.encode(value as Value)
        return written === text || normal(written) === normal(text)
      },
    }),
  }
  return {
    ddl,
    cast,
    codec,
    respells: always,
    travelsAsText: true,
    ...(normal && { normal }),
    ...(refusal && { refusal }),
    ...(delimiter !== undefined && { delimiter }),
    ...(declared && { declared }),
  }
}

function always(): boolean {
  return true
}

/** A text that PostgreSQL can store. */
export function encodeText(value: string): string {
  if (typeof value !== 'string') throw refused(`takes a string, not ${kindOf(value)}`)
  if (value.includes('\0')) throw refused('cannot hold a NUL character')
  if (!value.isWellFormed()) throw refused('cannot hold half a character (a lone surrogate)')
  return value
}

/** A number as PostgreSQL writes it. */
export function encodeFloat(value: unknown): string {
  if (typeof value !== 'number') throw refused(`takes numbers, not ${kindOf(value)}`)
  return Object.is(value, -0) ? '-0' : String(value)
}

export function refused(reason: string): InvalidValueError {
  return new InvalidValueError(reason)
}

/** What a value is, without showing it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`
}

/** Leaves a text as it is. */
export function asIs(text: string): string {
  return text
}

/** The name of a type in SQL. */
export function qualified(name: string, schema: string | undefined): string {
  return (schema === undefined ? [name] : [schema, name])
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
}

/** An extension that a type comes from. */
export function extensionOf(name: string, schema: string | undefined): DeclaredType {
  return { kind: 'extension', name, schema, definition: '' }
}
