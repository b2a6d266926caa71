/** A flush that is planned by itself: objects in, statements out. */
import type { Table } from '../../../../src/schema/table.js'
import type { InstanceState } from '../../../../src/unit/instance-state.js'
import type { FlushPlan } from '../../../../src/unit/flush/flush-plan.js'
import { planFlush } from '../../../../src/unit/flush/plan.js'
import { pending, persistent } from '../states.js'

/** What happens to some objects. */
export interface Changes {
  /** New objects, in the order of `add`. */
  readonly added?: readonly object[]
  /** Objects with a row, as they are stored. */
  readonly stored?: readonly object[]
  /** Those of the stored ones that are deleted. */
  readonly deleted?: readonly object[]
  /** Changes the stored objects. */
  readonly change?: () => void
}

export function planOf({ added = [], stored = [], deleted = [], change }: Changes): FlushPlan {
  const tracked = stored.map((instance) => persistent(instance))
  const removed = deleted.map((instance) => tracked[stored.indexOf(instance)] as InstanceState)
  for (const state of removed) state.markedDeleted = true
  change?.()
  const inserted = added.map(pending)
  return planFlush({ inserted, tracked, deleted: removed, guards: new Map(), verified: new Set(), links: [] })
}

export type Step = FlushPlan['steps'][number]

/** One row of a statement: its key, and what is written. */
export interface WrittenRow {
  /** The key by which it is found, or with which it is inserted. */
  readonly key: readonly string[]
  readonly values: Readonly<Record<string, string>>
}

/** The rows of a statement, read from its text and its parameters. Texts must be short and plain, such as numbers. */
export function rowsOf(step: Step): WrittenRow[] {
  const { kind, states, statement, touched } = step
  const { primaryKey, version } = tableOf(step)
  const written =
    kind === 'insert' ? namesIn(statement.text) : (touched?.changed ?? []).map(({ name }) => name)
  const found = version === undefined ? primaryKey : [...primaryKey, version]
  const names = kind === 'insert' ? written : [...written, ...found.map(({ name }) => name)]
  const parameters = statement.values.slice(0, names.length).map(String)
  const isArray = kind !== 'insert' && kind !== 'update' ? true : states.length > 1
  const columns = parameters.map((text) => (isArray ? text.slice(1, -1).split(',') : [text]))
  return (columns[0] ?? []).map((_, row) => {
    const entries = names.map((name, index) => [name, columns[index]?.[row] ?? ''] as const)
    const given = new Map(entries)
    const isKey = (name: string): boolean => primaryKey.some((column) => column.name === name)
    return {
      key:
        kind === 'insert'
          ? primaryKey.map(({ name }) => given.get(name) ?? 'new')
          : entries.slice(written.length).map(([, text]) => text),
      values: Object.fromEntries(
        entries.slice(0, written.length).filter(([name]) => kind !== 'insert' || !isKey(name)),
      ),
    }
  })
}

/** Each statement in one line: what it does to which rows of which table. */
export function linesOf({ steps }: Pick<FlushPlan, 'steps'>): string[] {
  return steps.flatMap((step) => [
    ...ownLockOf(step),
    [...lineOf(step), step.circular === true ? 'in a circle' : ''].filter(Boolean).join(' '),
  ])
}

/** The lock that is a condition of a statement, as if it were a statement before it. */
function ownLockOf({ kind, statement, touched }: Step): string[] {
  const found =
    kind === 'lock' ? null : /from "(\w+)" where \S+ .* (for [a-z ]+)\) as "locked"/.exec(statement.text)
  if (found === null || touched === undefined) return []
  const keys = touched.columns.map((_, index) => `{${touched.rows.map((row) => row[index]).join()}}`)
  return [['lock', found[1], found[2], ...keys].join(' ')]
}

function lineOf(step: Step): readonly string[] {
  const { kind, statement } = step
  const texts = statement.values.map(String)
  if (kind === 'lock')
    return [kind, ...(/from "(\w+)".* (for .*)\)/.exec(statement.text)?.slice(1) ?? []), ...texts]
  if (kind === 'link')
    return [kind, /^(?:insert into|delete from) "\w+"/.exec(statement.text)?.[0] ?? '', ...texts]
  const rows = rowsOf(step).map(({ key, values }) => {
    const shown = Object.entries(values).map(([name, value]) => `${name}=${value}`)
    return `${key.join('/')}${shown.length === 0 ? '' : `(${shown.join(' ')})`}`
  })
  return [kind, tableOf(step).name, ...rows]
}

export function tableOf({ states, touched, statement }: Step): Table {
  const table = touched?.table ?? states[0]?.meta.table
  if (table === undefined) throw new Error(`no object stands behind ${statement.text}`)
  return table
}

function namesIn(text: string): string[] {
  const [, names = ''] = /insert into \S+ \(([^)]*)\)/.exec(text) ?? []
  return names.split(', ').map((name) => name.slice(1, -1))
}
