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

/** The settings by which names are resolved. '' = the value at connect. */
type Names = Readonly<Record<NameSetting, string>>

const AS_AT_CONNECT: Names = { path: '', role: '' }

/** The parameters that the server reports. From PostgreSQL 18 on `search_path` is one of them. */
type ReportedParameters = ReadonlyMap<string, string>

export class SchemaView {
  readonly #generation: SchemaGeneration
  readonly #reported: ReportedParameters
  /** Counts the changes that only this connection sees. */
  #own = 0
  /** Counts the placeholders for unknown values of settings, so that no two of them are equal. */
  #unknowns = 0
  /** The settings by which names are resolved now. */
  #names: Names = AS_AT_CONNECT
  /** The settings to which the session returns when the transaction ends. */
  #session: Names = AS_AT_CONNECT
  #key = keyOf(0, AS_AT_CONNECT)
  /** The transaction has run DDL that other connections will see. */
  #changed = false
  /** The transaction has run DDL that only this connection sees. */
  #changedOwn = false
  /** The transaction has changed a setting of the session. */
  #touched = false
  /** COMMIT or ROLLBACK was written. The server may skip it. */
  #ended = false
  /** The server has refused a statement, or rolled back, since it was ready last. */
  #failed = false
  #hasTemporary = false
  /** The search path that the server reported last. */
  #path: string | undefined
  /** A statement has changed the search path since that report. */
  #pathMoved = false

  constructor(generation: SchemaGeneration, reported: ReportedParameters) {
    this.#generation = generation
    this.#reported = reported
    this.#path = reported.get('search_path')
  }

  get generation(): number {
    return this.#generation.current
  }

  /** Equal keys mean that names have the same meaning. */
  get key(): string {
    return this.#key
  }

  /** True: names will mean the same after the transaction as now, whether it commits or rolls back. */
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

  /** A script is sent. What its commands have done is known by their tags only. */
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
    this.#readReportedPath()
    if (!idle) {
      // COMMIT or ROLLBACK was skipped.
      if (this.#ended && this.#failed) this.#resolveBy(this.#unknownNames())
      this.#ended = false
      return
    }
    // Statements that were parsed meanwhile may have seen the schema from before or after the change.
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

  /** The report of the search path also shows changes that a function has made, which no statement text shows. */
  #readReportedPath(): void {
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
