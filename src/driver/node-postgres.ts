/**
 * node-postgres itself, for adapters that look like it. The types are structural, so that users do not need the types of `pg`.
 */
import pg from 'pg'

import type { TypeParsers } from './driver.js'
import { encodeValues, type EncodedValue } from './values.js'

/** A class, of which only the prototype is used. */
interface ClassLike {
  readonly prototype: object
}

/** What faces use of node-postgres, and of how this package sends values. */
export interface NodePostgres {
  readonly Pool: ClassLike
  readonly Client: ClassLike
  /** Its own query, which runs what a batch cannot: several statements with their results, `binary`, `rows`. */
  readonly Query: new (config: object) => object
  readonly types: TypeParsers
  readonly TypeOverrides: new (types: TypeParsers) => TypeParsers & {
    setTypeParser(...parameters: readonly unknown[]): void
  }
  escapeIdentifier(text: string): string
  escapeLiteral(text: string): string
  /** @throws InvalidStatementError for an object that is not a value. */
  encodeValues(values: readonly unknown[]): EncodedValue[]
}

/** Looked up at each use, because instrumentation may replace classes of `pg`. */
export function nodePostgres(): NodePostgres {
  const { Pool, Client, Query, types, TypeOverrides, escapeIdentifier, escapeLiteral } = pg
  return {
    Pool,
    Client,
    Query: Query as unknown as NodePostgres['Query'],
    types,
    TypeOverrides: TypeOverrides as unknown as NodePostgres['TypeOverrides'],
    escapeIdentifier,
    escapeLiteral,
    encodeValues,
  }
}
