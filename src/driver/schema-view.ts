/**
 * What names currently mean on one connection: the schema generation, temporary tables, and the settings by which names are resolved.
 * A prepared statement is used again only in the view in which it was parsed, because PostgreSQL never looks up the types of its
 * parameters again.
 *
 * 1. A statement changes the view when it is written, before it is known whether the server runs it, because later statements of the
 *    same batch must be parsed in the new view.
 * 2. If the effect is not known, the view is new. An earlier view is never assumed to have returned.
 */
import {
  mayChangeNames,
  mayMakeTemporary,
  tagChangesSchema,
  type NameSetting,
  type SettingChange,
  type StatementEffect,
} from './schema-effects.js'
import type { SchemaGeneration } from './schema-generation.js'
import type { EncodedValue } from './values.js'

/** `autocommit`: the statement is its own transaction. */
export type StatementContext = 'transaction' | 'autocommit'

/** '' = as at connect. */
type Names = Readonly<Record<NameSetting, string>>

const AS_AT_CONNECT: Names = { path: '', role: '' }

/** The parameters that the server reports. From PostgreSQL 18 on `search_path` is one of them. */
type ReportedParameters = ReadonlyMap<string, string>

export class SchemaView {
  readonly #generation: SchemaGeneration
  readonly #reported: ReportedParameters
  /** Changes that only this connection sees. */
  #own = 0
  /** Values that were never before. */
  #unknowns = 0
  /** By what names are resolved now, and what the session comes back to when the transaction ends. */
  #names: Names = AS_AT_CONNECT
  #session: Names = AS_AT_CONNECT
  #key = keyOf(0, AS_AT_CONNECT)
  /** In this transaction: DDL for all, DDL of this connection, a setting of the session, an end that may not have run. */
  #changed = false
  #changedOwn = false
  #touched = false
  #ended = false
  /** The server has refused something since it was ready last, or rolled back. */
  #failed = false
  #hasTemporary = false
  /** The last search path that the server has told, and whether it must have changed since. */
  #path: string | undefined
  #pathMoved = false

  constructor(generation: SchemaGeneration, reported: ReportedParameters) {
    this.#generation = generation
    this.#reported = reported
    this.#path = reported.get('search_path')
  }

  get generation(): number {
    return this.#generation.current
  }

  /** The same as before only if names mean the same as then. */
  get key(): string {
    return this.#key
  }

  /** Names mean the same when the transaction has ended, whichever way. */
  get isLasting(): boolean {
    return this.#names === this.#session && !this.#touched && !this.#changed && !this.#changedOwn
  }

  /** A statement was written, in a transaction or as its own. */
  written(effect: StatementEffect, values: readonly EncodedValue[], within: StatementContext): void {
    switch (effect.kind) {
      case 'none':
        return
      case 'schema':
        this.#changed = true
        this.#generation.current++
        return
      case 'temporary':
        this.#hasTemporary = true
        return this.#changeOwn()
      case 'discardTemporary':
        return this.#hasTemporary ? this.#changeOwn() : undefined
      case 'discardAll':
        this.#names = AS_AT_CONNECT
        this.#session = AS_AT_CONNECT
        return this.#changeOwn()
      case 'deallocate':
        return this.#changeOwn()
      case 'rollback':
        if (this.#touched) this.#session = this.#unknownNames()
        this.#ended = true
        return this.#names === this.#session ? undefined : this.#resolveBy(this.#session)
      case 'end':
        this.#ended = true
        return this.#names === this.#session ? undefined : this.#resolveBy(this.#session)
      case 'undo':
        return this.#undo()
      case 'settings':
        for (const change of effect.changes?.(values) ?? []) this.#set(change, within)
        return
    }
  }

  /** A statement has run. */
  completed(tag: string, returnsRows: boolean, effect?: StatementEffect): void {
    if (tag === 'ROLLBACK') this.#failed = true
    if (effect?.kind === 'temporary' || effect?.kind === 'schema') this.#note(effect.kind)
    else if (tagChangesSchema(tag, returnsRows)) this.#note('schema')
  }

  /** A plan did not fit the schema: another process has changed the schema. */
  outdated(): void {
    this.#generation.current++
  }

  /** The server has refused a statement. */
  refused(): void {
    this.#failed = true
  }

  /** A script is sent; its commands are known by their tags. */
  scripted(text: string): void {
    if (mayMakeTemporary(text)) {
      this.#hasTemporary = true
      this.#changeOwn()
    }
    if (!mayChangeNames(text)) return
    this.#touched = true
    this.#session = this.#unknownNames()
    this.#resolveBy(this.#session)
  }

  /** The server is ready again. `idle`: no transaction is open. */
  ready(idle: boolean): void {
    this.#hear()
    if (!idle) {
      // COMMIT or ROLLBACK was skipped.
      if (this.#ended && this.#failed) this.#resolveBy(this.#unknownNames())
      this.#ended = false
      return
    }
    // Whether it was stored or undone: what was parsed in between may have seen the other one.
    if (this.#changed) this.#generation.current++
    if (this.#changedOwn) this.#own++
    if (this.#touched && this.#failed) this.#session = this.#unknownNames()
    if (this.#changedOwn || this.#names !== this.#session) this.#resolveBy(this.#session)
    this.#changed = false
    this.#changedOwn = false
    this.#touched = false
    this.#ended = false
    this.#failed = false
  }

  /** The connection is lost: its changes may be stored. */
  lost(): void {
    if (this.#changed) this.#generation.current++
  }

  #note(kind: 'schema' | 'temporary'): void {
    if (kind === 'temporary') return this.#changeOwn()
    this.#changed = true
    this.#generation.current++
  }

  #changeOwn(): void {
    this.#changedOwn = true
    this.#own++
    this.#resolveBy(this.#names)
  }

  /** ROLLBACK TO: what was changed since the savepoint is as it was before. */
  #undo(): void {
    if (this.#changed) this.#generation.current++
    if (this.#changedOwn) this.#own++
    const isMoved = this.#touched || this.#names !== this.#session
    this.#resolveBy(isMoved ? this.#unknownNames() : this.#names)
  }

  #set({ setting, value = this.#unknown(), local }: SettingChange, within: StatementContext): void {
    // SET LOCAL outside of a transaction ends with its statement.
    if (local && within === 'autocommit') return
    if (!local) {
      this.#touched = true
      this.#session = { ...this.#session, [setting]: value }
    }
    this.#resolveBy({ ...this.#names, [setting]: value })
  }

  /** PostgreSQL tells when the search path has changed: also what a function did that nothing here has seen. */
  #hear(): void {
    const path = this.#reported.get('search_path')
    const isExplained = path === this.#path || this.#pathMoved
    this.#path = path
    this.#pathMoved = false
    if (isExplained) return
    this.#own++
    this.#resolveBy(this.#names)
  }

  #unknownNames(): Names {
    return { path: this.#unknown(), role: this.#unknown() }
  }

  #unknown(): string {
    return `? ${++this.#unknowns}`
  }

  #resolveBy(names: Names): void {
    if (names.path !== this.#names.path) this.#pathMoved = true
    this.#names = names
    this.#key = keyOf(this.#own, names)
  }
}

function keyOf(own: number, { path, role }: Names): string {
  return `${own} ${path} ${role}`
}
