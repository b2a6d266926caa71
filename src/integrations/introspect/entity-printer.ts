/** Prints one entity as the source of a class. */
import type { CatalogColumn, CatalogConstraint, CatalogIndex, CatalogSequence } from './catalog-model.js'
import {
  columnNamed,
  constraintsOf,
  isRaw,
  labelOf,
  sameColumns,
  type EntityPlan,
  type ForeignKeyPlan,
  type RelationPlan,
} from './entity-plan.js'
import type { Findings } from './findings.js'
import { docstring, key, lineComment, quote, sqlTag } from './source-text.js'
import type { Imports } from './imports.js'
import { tellLeftOut } from './left-out.js'
import type { TypePrinter } from './type-printer.js'

const PACKAGE = 'lifeguard'

export class EntityPrinter {
  readonly #types: TypePrinter
  readonly #findings: Findings
  readonly #sequences: readonly CatalogSequence[]
  readonly #schemaOf: (schema: string) => string | null

  /** @param sequences Those that the base names. */
  constructor(
    types: TypePrinter,
    findings: Findings,
    schemaOf: (schema: string) => string | null,
    sequences: readonly CatalogSequence[],
  ) {
    this.#types = types
    this.#sequences = sequences
    this.#findings = findings
    this.#schemaOf = schemaOf
  }

  /** @param custom The lines that a person has written into the class. */
  print(plan: EntityPlan, imports: Imports, custom: readonly string[]): string[] {
    const { table, className } = plan
    tellLeftOut(table, this.#sequences, this.#findings)
    const columns = table.columns.flatMap((column) => this.#column(plan, column, imports))
    const options = this.#options(plan, imports)
    const relations = [...plan.relations].map(
      ([name, relation]) => `    ${key(name)}: ${this.#relation(plan, relation, imports)},`,
    )
    return [
      ...docstring(table.comment, ''),
      ...(options.length === 0
        ? [
            `export class ${className} extends Base.entity(${quote(table.name)}, {`,
            ...columns.map((line) => `  ${line}`),
            '}) {',
          ]
        : [
            `export class ${className} extends Base.entity(`,
            `  ${quote(table.name)},`,
            '  {',
            ...columns.map((line) => `    ${line}`),
            '  },',
            '  {',
            ...options.map((line) => `    ${line}`),
            '  },',
            ') {',
          ]),
      ...(relations.length === 0 ? [] : ['  static readonly relations = {', ...relations, '  }', '']),
      `  // #region custom ${className}`,
      ...custom,
      `  // #endregion custom ${className}`,
      '}',
    ]
  }

  #column(plan: EntityPlan, column: CatalogColumn, imports: Imports): string[] {
    const { table } = plan
    const property = plan.properties.get(column.name) as string
    const name = property === column.name ? null : quote(column.name)
    const expression = this.#types.expression(column, column.serial ? NOWHERE : imports)
    if (column.collation !== null)
      this.#findings.add('left out', `${labelOf(table)}.${column.name}`, `its collation ${column.collation}`)
    const typed = column.serial ? this.#serial(column, imports) : expression
    if (!column.serial) this.#types.tell(`${labelOf(table)}.${column.name}`, typed)
    const written = [
      `${typed.call}(${[name, typed.options].filter((part) => part !== null).join(', ')})${typed.modifiers}`,
      ...this.#modifiers(plan, column, imports),
    ].join('')
    const notes = typed.note === null ? [] : [lineComment(typed.note)]
    return [...docstring(column.comment, ''), ...notes, `${key(property)}: ${written},`]
  }

  #serial({ type }: CatalogColumn, imports: Imports) {
    const name = { '20': 'bigserial', '21': 'smallserial' }[type] ?? 'serial'
    return { call: imports.add(PACKAGE, name), options: null, modifiers: '', note: null }
  }

  #modifiers(plan: EntityPlan, column: CatalogColumn, imports: Imports): string[] {
    const { table } = plan
    const isKey = plan.key.columns.includes(column.name)
    const sql = (text: string): string => this.#sql(text, imports)
    const key = isKey ? [plan.key.isConstraint ? '.primaryKey()' : '.primaryKey({ constraint: false })'] : []
    const { identity, generated } = column
    const reference = this.#referenceOf(plan, column)
    return [
      ...(identity === null ? [] : [`.identity(${identityArguments(column, sql)})`]),
      ...(column.notNull && !column.serial && identity === null && !(isKey && plan.key.isConstraint)
        ? ['.notNull()']
        : []),
      ...(isUnique(table.constraints, column.name) ? ['.unique()'] : []),
      ...(table.indexes.some((index) => isUsual(index, table.name, column.name)) ? ['.index()'] : []),
      ...(column.default === null ? [] : [`.serverDefault(${sql(column.default)})`]),
      ...(generated === null
        ? []
        : [`.generated(${sql(generated.expression)}${generated.stored ? '' : ', { stored: false }'})`]),
      ...(reference === undefined ? [] : [this.#reference(reference, imports)]),
      ...key,
    ]
  }

  #sql(text: string, imports: Imports): string {
    imports.add(PACKAGE, 'sql')
    return sqlTag(text)
  }

  /** The first foreign key of this column alone; others stand in the options. */
  #referenceOf({ foreignKeys }: EntityPlan, { name }: CatalogColumn): ForeignKeyPlan | undefined {
    return foreignKeys.find(({ constraint: { columns } }) => columns.length === 1 && columns[0] === name)
  }

  #reference(key: ForeignKeyPlan, imports: Imports): string {
    const [target] = this.#targets(key)
    const rules = this.#rules(key.constraint, imports)
    return `.references(${quote(target as string)}${rules.length === 0 ? '' : `, { ${rules.join(', ')} }`})`
  }

  /** Rules of the session that PostgreSQL does not carry out (NOT ENFORCED) are left out. */
  #rules(key: CatalogConstraint, imports: Imports): string[] {
    const rules = key.enforced ? rulesOf(key) : []
    return key.special ? [...rules, `definition: ${this.#sql(key.target?.rules ?? '', imports)}`] : rules
  }

  #targets({ constraint, target }: ForeignKeyPlan): string[] {
    const schema = this.#schemaOf(target.table.schema)
    const table = schema === null ? target.table.name : `${schema}.${target.table.name}`
    return (constraint.target?.columns ?? []).map((name) => `${table}.${name}`)
  }

  #options(plan: EntityPlan, imports: Imports): string[] {
    const { table, properties } = plan
    const schema = this.#schemaOf(table.schema)
    const sql = (text: string): string => this.#sql(text, imports)
    const list = (names: readonly string[]): string =>
      `[${names.map((name) => quote(properties.get(name) ?? name)).join(', ')}]`
    const block = (
      name: string,
      [open, close]: readonly [string, string],
      lines: readonly string[],
    ): string[] =>
      lines.length === 0 ? [] : [`${name}: ${open}`, ...lines.map((line) => `  ${line},`), `${close},`]
    const uniques = constraintsOf(table, 'unique').filter((one) => !isRaw(one) && one.columns.length > 1)
    const raw = table.constraints.filter((one) => one.kind === 'exclusion' || isRaw(one))
    const inOptions = plan.foreignKeys.filter((one) => {
      const [first] = one.constraint.columns
      return (
        one.constraint.columns.length > 1 ||
        this.#referenceOf(plan, columnNamed(table, first ?? '') as CatalogColumn) !== one
      )
    })
    return [
      ...(schema === null ? [] : [`schema: ${quote(schema)},`]),
      ...(table.kind === 'view' || table.kind === 'materialized view' ? ['view: true,'] : []),
      ...(plan.key.columns.length === 0 ? ['keyless: true,'] : []),
      ...(table.partitionBy === null ? [] : [`partitionBy: ${sql(table.partitionBy)},`]),
      ...block('unique', ['[', ']'], uniques.map(({ columns }) => list(columns)).sort()),
      ...block(
        'indexes',
        ['[', ']'],
        table.indexes
          .filter((index) => !table.columns.some(({ name }) => isUsual(index, table.name, name)))
          .map((index) => this.#index(index, list, sql)),
      ),
      ...block(
        'checks',
        ['{', '}'],
        constraintsOf(table, 'check')
          .filter((one) => !isRaw(one))
          .map(({ name, expression }) => `${key(name)}: ${sql(expression ?? 'true')}`),
      ),
      ...block(
        'constraints',
        ['{', '}'],
        raw.map(({ name, definition }) => `${key(name)}: ${sql(definition)}`),
      ),
      ...block(
        'foreignKeys',
        ['[', ']'],
        inOptions.map((one) => {
          const parts = [
            `columns: ${list(one.constraint.columns)}`,
            `references: [${this.#targets(one).map(quote).join(', ')}]`,
            ...this.#rules(one.constraint, imports),
          ]
          return `{ ${parts.join(', ')} }`
        }),
      ),
    ]
  }

  #index(
    index: CatalogIndex,
    list: (names: readonly string[]) => string,
    sql: (text: string) => string,
  ): string {
    const columns = index.parts.map(({ column, expression }) =>
      column === null ? sql(expression ?? '') : list([column]).slice(1, -1),
    )
    const isKnown = index.plain && METHODS.has(index.method)
    return `{ ${[
      `name: ${quote(index.name)}`,
      `columns: [${columns.join(', ')}]`,
      ...(index.unique ? ['unique: true'] : []),
      ...(isKnown && index.method !== 'btree' ? [`using: ${quote(index.method)}`] : []),
      ...(isKnown && index.where !== null ? [`where: ${sql(index.where)}`] : []),
      ...(isKnown ? [] : [`definition: ${sql(index.definition)}`]),
    ].join(', ')} }`
  }

  #relation(plan: EntityPlan, relation: RelationPlan, imports: Imports): string {
    const { kind, target, keys, through, own, other } = relation
    imports.add(PACKAGE, kind)
    if (target !== plan) imports.add(`#${target.className}`, target.className)
    const names = (list: readonly string[]): string =>
      list.length === 1 ? quote(list[0] as string) : `[${list.map(quote).join(', ')}]`
    if (through === undefined) return `${kind}(() => ${target.className}, ${names(keys)})`
    const schema = this.#schemaOf(through.table.schema)
    const link = schema === null ? through.table.name : `${schema}.${through.table.name}`
    const options =
      own === undefined || other === undefined
        ? ''
        : `, { own: [${own.map(quote).join(', ')}], other: [${other.map(quote).join(', ')}] }`
    return `${kind}(() => ${target.className}, ${quote(link)}${options})`
  }
}

/** Imports of expressions that are not written. */
const NOWHERE = { add: (_from: string, name: string) => name } as unknown as Imports

const METHODS = new Set(['btree', 'hash', 'gin', 'gist', 'spgist', 'brin'])

function identityArguments({ identity, sequence }: CatalogColumn, sql: (text: string) => string): string {
  if (sequence !== null && sequence !== '')
    return `${quote(identity ?? 'by default')}, { sequence: ${sql(sequence)} }`
  return identity === 'always' ? quote(identity) : ''
}

function isUnique(constraints: readonly CatalogConstraint[], column: string): boolean {
  return constraints.some((one) => one.kind === 'unique' && !isRaw(one) && sameColumns(one.columns, [column]))
}

/** An index of one column that has the name which PostgreSQL gives it. */
function isUsual(index: CatalogIndex, table: string, column: string): boolean {
  return (
    index.plain &&
    !index.unique &&
    index.where === null &&
    index.method === 'btree' &&
    index.parts.length === 1 &&
    index.parts[0]?.column === column &&
    index.name === `${table}_${column}_idx`
  )
}

function rulesOf({ target, deferrable, deferred }: CatalogConstraint): string[] {
  const { onDelete = 'no action', onUpdate = 'no action' } = target ?? {}
  return [
    ...(onDelete === 'no action' ? [] : [`onDelete: ${quote(onDelete)}`]),
    ...(onUpdate === 'no action' ? [] : [`onUpdate: ${quote(onUpdate)}`]),
    ...(deferred ? ['deferred: true'] : deferrable ? ['deferrable: true'] : []),
  ]
}
