/**
 * Statements: the forms that `execute` accepts, and the one form into which they are converted.
 *
 * Accepted are a string, `{ text, values }` (node-postgres's form), the `sql` tag, and the builders of Kysely and Drizzle, which are
 * recognised by their shape and not imported.
 */
import { InvalidStatementError } from './errors.js'
import { isArray, isInstance, isObject, isRevoked, REVOKED } from './internal/revoked.js'
import { refuseCycle, requireText, startOf } from './internal/statement-text.js'
import { parsersOf, type ValueParsers } from './internal/value-parsers.js'

/** A statement as node-postgres takes it. */
export interface StatementConfig {
  /** SQL with placeholders `$1`, `$2`, ... */
  readonly text: string
  /** One value for each placeholder. */
  readonly values?: readonly unknown[] | undefined
  /** `array`: rows as arrays in column order. Default `object`: rows as objects keyed by column name. */
  readonly rowMode?: 'array' | undefined
  /** How the values of the result are parsed, as in node-postgres. Default: as the engine is configured. */
  readonly types?: ValueParsers | undefined
  /** False: parse and plan the statement at every use instead of preparing it. Default: as the engine is configured. */
  readonly prepare?: boolean | undefined
}

/** A Kysely builder (or any object of its shape); `Row` is inferred from `execute`. */
export interface KyselyLike<Row> {
  compile(): { readonly sql: string; readonly parameters: readonly unknown[] }
  execute(...args: never[]): Promise<Row[]>
}

/** A compiled Kysely query. */
export interface CompiledQueryLike {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** A Drizzle builder (or any object of its shape); `Row` is inferred from `execute`. */
export interface DrizzleLike<Row> {
  toSQL(): { readonly sql: string; readonly params: readonly unknown[] }
  execute(...args: never[]): Promise<Row[]>
}

/** A Drizzle builder without `returning()`. */
export interface DrizzleCommandLike {
  toSQL(): { readonly sql: string; readonly params: readonly unknown[] }
}

/** Everything that `execute` takes without naming the row type. */
export type Statement =
  string | StatementConfig | SqlFragment | CompiledQueryLike | KyselyLike<unknown> | DrizzleCommandLike

/** A statement ready to be sent. */
export interface CompiledStatement {
  readonly text: string
  readonly values: readonly unknown[]
  readonly rowMode: 'object' | 'array'
  readonly prepare: boolean
  readonly types?: ValueParsers | undefined
}

/**
 * A piece of SQL with its values, made by the {@link sql} tag. A fragment is a whole statement or a part of one; values of a
 * nested fragment become parameters, too. `Row` is the row type of the statement.
 */
export class SqlFragment<Row = Record<string, unknown>> {
  /** Only for the type checker. */
  declare readonly $row?: Row
  readonly #strings: readonly string[]
  readonly #values: readonly unknown[]
  readonly #depends: boolean
  #compiled: { readonly text: string; readonly values: readonly unknown[] } | undefined

  constructor(strings: readonly string[], values: readonly unknown[]) {
    this.#strings = strings
    this.#values = values
    this.#depends = values.some((value) => isFragment(value) && value.dependsOnTime)
  }

  /** SQL text with `$n` placeholders. */
  get text(): string {
    return this.assemble().text
  }

  /** The values of the placeholders. */
  get values(): readonly unknown[] {
    return this.assemble().values
  }

  /** True if its text or values may differ the next time, so that they are not cached. @internal */
  get dependsOnTime(): boolean {
    return this.#depends
  }

  /** The fragment that replaces it at this moment. @internal */
  protected get current(): SqlFragment<unknown> {
    return this
  }

  /** The name of a fragment that must not contain itself, for the error. @internal */
  declare readonly label?: string | undefined

  /** The fragments that it was put together from. @internal */
  get parts(): readonly SqlFragment[] {
    return this.#values.filter(isFragment)
  }

  /** Its text and the values that belong to it. @internal */
  assemble(): { readonly text: string; readonly values: readonly unknown[] } {
    if (this.#compiled !== undefined) return this.#compiled
    const parts: string[] = []
    const values: unknown[] = []
    this.current.#append(parts, values)
    const compiled = { text: parts.join(''), values }
    // Usually `text` and `values` are read one after the other.
    if (!this.dependsOnTime) this.#compiled = compiled
    return compiled
  }

  /** Iterates with a stack of its own, because fragments may be nested to any depth. */
  #append(parts: string[], values: unknown[]): void {
    const open: OpenPart[] = [{ fragment: this, at: 0 }]
    for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
      const { fragment } = level
      const index = level.at++
      const part = fragment.#strings[index]
      if (part === undefined) {
        open.pop()
        continue
      }
      parts.push(part)
      if (index >= fragment.#values.length) continue
      const value = fragment.#values[index]
      if (isFragment(value)) {
        const { label } = value
        if (label !== undefined) refuseCycle(label, open)
        open.push({ fragment: value.current, label, at: 0 })
        continue
      }
      if (value === undefined) {
        throw new InvalidStatementError(
          `Value ${values.length + 1} of the statement is undefined (after \`${tail(part)}\`). Use null for NULL.`,
        )
      }
      values.push(value)
      parts.push(`$${values.length}`)
    }
  }
}

type OpenPart = { readonly fragment: SqlFragment<unknown>; readonly label?: string | undefined; at: number }

/** A condition for WHERE. */
export type Condition = SqlFragment<unknown>

/** The tag {@link sql} and its helper functions. */
export interface SqlTag {
  <Row = Record<string, unknown>>(strings: TemplateStringsArray, ...values: unknown[]): SqlFragment<Row>
  /** A quoted identifier; several parts are joined by dots: `sql.identifier('audit', 'log')` gives `"audit"."log"`. */
  identifier(...parts: string[]): SqlFragment
  /** Inserts the text into the statement unchanged. Never pass user input. */
  raw(text: string): SqlFragment
  /** Joins values or fragments, by default with `, `. @throws InvalidStatementError for an empty list. */
  join(items: readonly unknown[], separator?: SqlFragment): SqlFragment
}

/**
 * Builds a statement; every interpolated value becomes a parameter.
 *
 * @throws InvalidStatementError at `execute`, if a value is undefined. Not safe to retry.
 * @example
 * const found = await session.execute(sql<{ id: string }>`select id from songs where title = ${title}`)
 */
export const sql: SqlTag = Object.assign(
  <Row>(strings: TemplateStringsArray, ...values: unknown[]): SqlFragment<Row> => {
    if (!isArray(strings) || !strings.every(isString)) {
      throw new InvalidStatementError(
        'sql is a tag: write sql`select 1`, or sql.raw(text) for unchanged text',
      )
    }
    return new SqlFragment<Row>(strings, values)
  },
  {
    identifier: (...parts: string[]): SqlFragment =>
      new SqlFragment([parts.map(quoteIdentifier).join('.')], []),
    raw(text: string): SqlFragment {
      if (!isString(text))
        throw new InvalidStatementError(`sql.raw takes text, not ${describeArgument(text)}`)
      return new SqlFragment([text], [])
    },
    join(items: readonly unknown[], separator: SqlFragment = new SqlFragment([', '], [])): SqlFragment {
      if (!isArray(items)) {
        throw new InvalidStatementError(
          `sql.join takes an array of values or fragments, not ${describeArgument(items)}`,
        )
      }
      if (!isFragment(separator)) {
        throw new InvalidStatementError(
          `The separator of sql.join is made with the sql tag, not ${describeArgument(separator)}`,
        )
      }
      if (items.length === 0) throw new InvalidStatementError('sql.join was given an empty list')
      const values = items.flatMap((item: unknown, index) => (index === 0 ? [item] : [separator, item]))
      return new SqlFragment([...values.map(() => ''), ''], values)
    },
  },
)

/** Quotes an identifier for SQL text. @throws InvalidStatementError if it is empty or holds a NUL character. */
export function quoteIdentifier(name: string): string {
  if (typeof name !== 'string' || name === '' || name.includes('\0')) {
    throw new InvalidStatementError(
      `Not an identifier: ${isString(name) ? JSON.stringify(name) : describeArgument(name)}`,
    )
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** Converts a statement of any accepted form. @throws InvalidStatementError if it is none of them. */
export function compileStatement(statement: unknown, values?: readonly unknown[]): CompiledStatement {
  const config = typeof statement === 'string' ? { text: statement, values } : readObject(statement)
  const { text } = config
  if (typeof text !== 'string') throw notAStatement(statement)
  requireText('statement', text)
  const own = config.values ?? NO_VALUES
  if (values !== undefined && typeof statement !== 'string' && own.length > 0) {
    throw new InvalidStatementError('The statement has its own values: pass no others')
  }
  const given = values ?? own
  if (!isArray(given)) {
    throw new InvalidStatementError(`The values of a statement are an array, not ${describeArgument(given)}`)
  }
  return {
    text,
    values: given,
    rowMode: config.rowMode === 'array' ? 'array' : 'object',
    prepare: config.prepare ?? true,
    types: parsersOf(config.types),
  }
}

const NO_VALUES: readonly unknown[] = []

interface LooseConfig {
  readonly text?: unknown
  readonly values?: readonly unknown[] | undefined
  readonly rowMode?: unknown
  readonly prepare?: boolean | undefined
  readonly types?: unknown
}

function readObject(statement: unknown): LooseConfig {
  if (!isObject(statement)) throw notAStatement(statement)
  if (isFragment(statement)) {
    return statement.assemble()
  }
  const shape = statement as {
    toSQL?: unknown
    compile?: unknown
    sql?: unknown
    parameters?: unknown
    then?: unknown
  }
  if (typeof shape.toSQL === 'function') {
    const { sql: text, params } = (statement as DrizzleLike<unknown>).toSQL()
    return { text, values: params }
  }
  if (typeof shape.compile === 'function') {
    const { sql: text, parameters } = (statement as KyselyLike<unknown>).compile()
    return { text, values: parameters }
  }
  if (typeof shape.sql === 'string' && Array.isArray(shape.parameters)) {
    return { text: shape.sql, values: shape.parameters as unknown[] }
  }
  if (typeof shape.then === 'function') {
    throw new InvalidStatementError(
      'A promise was given where a statement is expected: an `await` is missing',
    )
  }
  return statement
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}

function isFragment(value: unknown): value is SqlFragment {
  // The copy of this class in the other module format has private fields that cannot be read: its public face serves.
  return isInstance(value, SqlFragment)
}

function notAStatement(value: unknown): InvalidStatementError {
  const isClass = typeof value === 'function' && !isRevoked(value) && 'c' in value
  const kind = isClass ? `the class ${value.name}` : describeArgument(value)
  let advice = isClass ? ` The rows of an entity are select(${value.name}).` : ''
  if (value === undefined) advice = ' Is a name misspelt, or a return missing?'
  return new InvalidStatementError(
    `Not a statement: ${kind}. Give a string, { text, values }, sql\`...\`, or a Kysely or Drizzle query.${advice}`,
  )
}

/** The type of an argument, and the keys of an object, for a message; never the value itself. */
export function describeArgument(value: unknown): string {
  if (value === null) return 'null'
  if (isRevoked(value)) return REVOKED
  if (typeof value !== 'object') return typeof value
  return Array.isArray(value)
    ? 'an array'
    : `an object with the keys ${Object.keys(value).slice(0, 5).join(', ') || '(none)'}`
}

function tail(text: string): string {
  return text.trim().slice(-30)
}

const TRANSACTION_CONTROL =
  /^(?:begin|start\s+transaction|(?:commit|rollback)(?!\s+prepared\b)|end|abort|savepoint|release|prepare\s+transaction)\b/i
const COPY_STREAM = /^copy\b[\s\S]*\b(?:from\s+stdin|to\s+stdout)\b/i
const COMMENT = /\/\*[\s\S]*?\*\/|--[^\r\n]*/g
// The characters that such a statement, or a comment before it, can begin with. One character decides most statements.
const SUSPECTS = new Set('bBsScCeErRaApP-/; \t\r\n\v\f')

/**
 * Why a statement may not run as a plain one: it would change the transaction without the session, or it
 * speaks the COPY protocol. Undefined if it may.
 */
export function refusalOf(text: string): string | undefined {
  if (!SUSPECTS.has(text.charAt(0))) return undefined
  const body = text.slice(startOf(text))
  const control = TRANSACTION_CONTROL.exec(firstWords(body))
  if (control !== null) {
    return (
      `\`${control[0].toUpperCase()}\` was given as a statement. Transactions belong to the session: use commit(), ` +
      'rollback(), begin() or beginNested().'
    )
  }
  if (COPY_STREAM.test(body.replace(COMMENT, ' ')))
    return 'COPY with STDIN or STDOUT streams data: use session.copyFrom() or session.copyTo().'
  return undefined
}

const WORD = /^\w*/

/** The first two words, whatever white space and comments are between them. @param body Begins with the first one. */
function firstWords(body: string): string {
  const first = WORD.exec(body)?.[0] ?? ''
  const rest = body.slice(first.length)
  return `${first} ${WORD.exec(rest.slice(startOf(rest)))?.[0] ?? ''}`
}
