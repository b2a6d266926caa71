/** Compares foreign keys as they are declared with those of the database. */
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { CatalogConstraint, CatalogTable } from '../introspect/catalog-model.js'
import { ident, type Differences } from './difference.js'
import { live, lossy, type Proposal } from './proposal.js'

/** What the comparison of foreign keys needs to know besides. */
interface ForeignKeyContext {
  readonly where: string
  /** The schema of entities that name none. */
  readonly home: string
  /** Whether a table is an entity. */
  isMapped(schema: string, table: string): boolean
  /** Foreign keys of the database that have a statement of their own. */
  readonly fates: Map<CatalogConstraint, 'changed' | 'extra'>
}

export function compareForeignKeys(
  declared: readonly ForeignKey[],
  found: CatalogTable,
  { where, home, isMapped, fates }: ForeignKeyContext,
  differences: Differences,
): void {
  const alter = `alter table ${ident(found.schema, found.name)}`
  // An entity cannot say PERIOD.
  const there = found.constraints.filter(({ kind, period }) => kind === 'foreign key' && !period)
  const known = new Set<CatalogConstraint>()
  const missing: ForeignKey[] = []
  const change = (before: CatalogConstraint, key: ForeignKey): Proposal[] => {
    fates.set(before, 'changed')
    return [
      live('drop foreign key', `${alter} drop constraint ${ident(before.name)}`),
      live('foreign key', `${alter} add constraint ${ident(before.name)} ${foreignKeySql(key, home)}`),
    ]
  }
  for (const key of declared) {
    const same = there.filter((one) => leadsAlike(key, one, home))
    for (const one of same) known.add(one)
    const [first] = same
    if (first === undefined) {
      missing.push(key)
      continue
    }
    const here = rulesOf(key)
    if (same.some((one) => canonical(one.target?.rules ?? '') === canonical(here))) continue
    differences.add(
      where,
      'different',
      'writing',
      `foreign key (${namesOf(key)}): the database has ${said(first.target?.rules ?? '')}, the entity ${said(here)}`,
      change(first, key),
    )
  }
  const extra = there.filter(
    (one) => !known.has(one) && isMapped(one.target?.schema ?? '', one.target?.table ?? ''),
  )
  for (const key of missing) {
    const target = `${key.target.schema ?? home}.${key.target.name}`
    const at = extra.findIndex(
      ({ columns }) => columns.join('\0') === key.columns.map(({ name }) => name).join('\0'),
    )
    const [before] = at < 0 ? [] : extra.splice(at, 1)
    if (before === undefined)
      differences.add(
        where,
        'missing',
        'nothing',
        `foreign key (${namesOf(key)}) to ${target} is not in the database`,
        [addForeignKey(key, found.schema, found.name, home)],
      )
    else
      differences.add(
        where,
        'different',
        'writing',
        `foreign key (${namesOf(key)}): the database leads to ${before.target?.schema}.${before.target?.table} (${before.target?.columns.join(', ')}), ` +
          `the entity to ${target} (${key.targetColumns.map(({ name }) => name).join(', ')})`,
        change(before, key),
      )
  }
  for (const one of extra) {
    fates.set(one, 'extra')
    const message = `foreign key ${one.name} (${one.columns.join(', ')}) is not in the entity`
    differences.add(where, 'extra', 'writing', message, [
      lossy('drop foreign key', `${alter} drop constraint ${ident(one.name)}`),
    ])
  }
}

/** The statement for a foreign key that is not there. */
export function addForeignKey(key: ForeignKey, schema: string, table: string, home: string): Proposal {
  return live('foreign key', `alter table ${ident(schema, table)} add ${foreignKeySql(key, home)}`)
}

function foreignKeySql(key: ForeignKey, home: string): string {
  const { columns, target, targetColumns } = key
  const list = (names: readonly { readonly name: string }[]): string =>
    names.map(({ name }) => ident(name)).join(', ')
  return `foreign key (${list(columns)}) references ${ident(target.schema ?? home, target.name)} (${list(targetColumns)}) ${rulesOf(key)}`.trimEnd()
}

function namesOf({ columns }: ForeignKey): string {
  return columns.map(({ name }) => name).join(', ')
}

function leadsAlike(
  { columns, target, targetColumns }: ForeignKey,
  one: CatalogConstraint,
  home: string,
): boolean {
  const other = one.target
  return (
    other?.schema === (target.schema ?? home) &&
    other.table === target.name &&
    pairs(one.columns, other.columns) ===
      pairs(
        columns.map(({ name }) => name),
        targetColumns.map(({ name }) => name),
      )
  )
}

function pairs(own: readonly string[], other: readonly string[]): string {
  return own
    .map((name, index) => `${name}\0${other[index]}`)
    .sort()
    .join('\n')
}

/** What the declaration says behind the referenced columns. */
function rulesOf({ rules }: ForeignKey): string {
  const {
    onDelete = 'no action',
    onUpdate = 'no action',
    deferred = false,
    deferrable = deferred,
    definition,
  } = rules
  if (definition !== undefined) return definition.text
  return [
    ...(onDelete === 'no action' ? [] : [`on delete ${onDelete}`]),
    ...(onUpdate === 'no action' ? [] : [`on update ${onUpdate}`]),
    ...(deferred ? ['deferrable initially deferred'] : deferrable ? ['deferrable'] : []),
  ].join(' ')
}

/** For messages: with what is meant where nothing is said. */
function said(rules: string): string {
  const { onDelete, onUpdate, isFull, timing, isEnforced } = parsed(rules)
  return [
    `on delete ${onDelete}`,
    `on update ${onUpdate}`,
    ...(isFull ? ['match full'] : []),
    ...(timing === '' ? [] : [timing]),
    ...(isEnforced ? [] : ['not enforced']),
  ].join(', ')
}

/** The same text for the same rules. */
function canonical(rules: string): string {
  return JSON.stringify(parsed(rules))
}

function parsed(rules: string) {
  const text = rules.replaceAll(/\s+/g, ' ').trim()
  const action = (event: string): string => {
    const found = new RegExp(
      `\\bon ${event} (no action|restrict|cascade|set null|set default)(?: ?(\\((?:[^()"]|"(?:[^"]|"")*")*\\)))?`,
      'i',
    ).exec(text)
    const columns = found?.[2]?.replaceAll(/"([a-z_][a-z0-9_]*)"/g, '$1').replaceAll(/\s+/g, '')
    return `${found?.[1]?.toLowerCase() ?? 'no action'}${columns === undefined ? '' : ` ${columns}`}`
  }
  const has = (words: RegExp): boolean => words.test(text)
  return {
    onDelete: action('delete'),
    onUpdate: action('update'),
    isFull: has(/\bmatch full\b/i),
    timing: has(/\binitially deferred\b/i)
      ? 'initially deferred'
      : has(/\bdeferrable\b/i) && !has(/\bnot deferrable\b/i)
        ? 'deferrable'
        : '',
    isEnforced: !has(/\bnot enforced\b/i),
  }
}
