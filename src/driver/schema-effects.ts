/**
 * What a statement changes for later statements, as far as its text or its command tag shows: DDL, temporary tables, and settings that
 * decide how names are resolved.
 *
 * The statements inside a function or procedure are not visible here.
 */
import { rememberedByText } from '../internal/by-text.js'
import { startOf } from '../internal/statement-text.js'
import type { EncodedValue } from './values.js'

/** `path`: `search_path`. `role`: `role` and `session_authorization`, which `"$user"` in a search path refers to. */
export type NameSetting = 'path' | 'role'

/** A setting that decides how names are resolved, and what it becomes. */
export interface SettingChange {
  readonly setting: NameSetting
  /** The value as it is written; '' = the value at connect; undefined = not known. */
  readonly value: string | undefined
  /** Until the end of the transaction. */
  readonly local: boolean
}

/**
 * - `schema`: DDL that other connections see.
 * - `temporary`: makes a temporary table (view, sequence), which hides others of that name on this connection.
 * - `discardTemporary`, `discardAll`: what the command says. `deallocate`: forgets prepared statements.
 * - `end`: ends the transaction. `rollback`: undoes it. `undo`: rolls back to a savepoint.
 * - `settings`: changes what names are resolved by.
 */
export type EffectKind =
  | 'none'
  | 'schema'
  | 'temporary'
  | 'discardTemporary'
  | 'discardAll'
  | 'deallocate'
  | 'end'
  | 'rollback'
  | 'undo'
  | 'settings'

export interface StatementEffect {
  readonly kind: EffectKind
  /** The text names nothing of the schema, so its meaning does not depend on the schema or on settings. */
  readonly schemaFree: boolean
  /** For `settings`: the changes, given the values of the statement. */
  readonly changes: ((values: readonly EncodedValue[]) => readonly SettingChange[]) | undefined
}

const NONE = effect('none')
const FREE = schemaFree('none')
const SCHEMA = effect('schema')
const TEMPORARY = effect('temporary')
const DISCARD_TEMPORARY = schemaFree('discardTemporary')
const DISCARD_ALL = schemaFree('discardAll')
const DEALLOCATE = schemaFree('deallocate')
const END = schemaFree('end')
const ROLLBACK = schemaFree('rollback')
const UNDO = schemaFree('undo')

const FIRST_WORDS = /^([a-z]+)(?:\s+([a-z]+)\b)?(?:\s+([a-z]+)\b)?/i
// The first words of the statements that have an effect.
const FIRST_LETTERS = new Set('sSrRcCeEaApPdDiIbBlLuUnN/-; \t\r\n\v\f')

export const effectOf: (text: string) => StatementEffect = rememberedByText(lookUpEffect)

function lookUpEffect(text: string): StatementEffect {
  if (!FIRST_LETTERS.has(text.charAt(0))) return configEffect(text)
  const body = text.slice(startOf(text))
  const [, first = '', second = '', third = ''] = FIRST_WORDS.exec(body) ?? []
  switch (first.toUpperCase()) {
    case 'BEGIN':
    case 'START':
    case 'SAVEPOINT':
    case 'RELEASE':
    case 'SHOW':
    case 'LISTEN':
    case 'UNLISTEN':
    case 'NOTIFY':
      return FREE
    case 'COMMIT':
    case 'END':
      return /^prepared$/i.test(second) ? SCHEMA : END
    case 'ROLLBACK':
    case 'ABORT':
      if (/^prepared$/i.test(second)) return SCHEMA
      return /^to$/i.test(second) || /^to$/i.test(third) ? UNDO : ROLLBACK
    case 'PREPARE':
      return /^transaction$/i.test(second) ? END : NONE
    case 'CREATE':
      return /^temp(?:orary)?$/i.test(/^(?:local|global)$/i.test(second) ? third : second)
        ? TEMPORARY
        : SCHEMA
    case 'ALTER':
    case 'DROP':
    case 'IMPORT':
    case 'DO':
      return SCHEMA
    case 'DISCARD':
      if (/^all$/i.test(second)) return DISCARD_ALL
      return /^temp/i.test(second) ? DISCARD_TEMPORARY : FREE
    case 'DEALLOCATE':
      return DEALLOCATE
    case 'SET':
    case 'RESET':
      return settingEffect(body)
    default:
      return configEffect(text)
  }
}

/** Whether the command tag shows a change of the schema. @param returnsRows The statement has columns. */
export function tagChangesSchema(tag: string, returnsRows: boolean): boolean {
  switch (tag.charCodeAt(0)) {
    case 0x53: // SELECT: without columns it is SELECT INTO or CREATE TABLE AS
      return !returnsRows && tag.startsWith('SELECT')
    case 0x43: // CREATE ..., COMMIT PREPARED
      return tag.startsWith('CREATE') || tag === 'COMMIT PREPARED'
    case 0x41:
      return tag.startsWith('ALTER')
    case 0x44: // DROP ..., DO
      return tag.startsWith('DROP') || tag === 'DO'
    case 0x49:
      return tag.startsWith('IMPORT')
    default:
      return false
  }
}

/** Whether a script may change how names are resolved. */
export function mayChangeNames(script: string): boolean {
  return /search_path|set_config|\bschema\b|\brole\b|\bauthorization\b|\b(?:reset|discard)\s+all\b/i.test(
    script,
  )
}

/** Whether a script may make temporary tables. */
export function mayMakeTemporary(script: string): boolean {
  return /\btemp(?:orary)?\b/i.test(script)
}

function effect(kind: EffectKind, changes?: StatementEffect['changes']): StatementEffect {
  return { kind, schemaFree: false, changes }
}

/** The effect of a statement whose text names nothing of the schema. */
function schemaFree(kind: EffectKind, changes?: StatementEffect['changes']): StatementEffect {
  return { kind, schemaFree: true, changes }
}

const SET =
  /^set\s+(?:(local|session)\s+)?(?:(search_path|"search_path"|schema\b)|role\b|(?:session\s+)?authorization\b)\s*(?:=|to\b)?([^]*)$/i
const RESET = /^reset\s+(?:(all|search_path|"search_path")|role|session\s+authorization)\b/i

function settingEffect(text: string): StatementEffect {
  const reset = RESET.exec(text)
  if (reset !== null)
    return fixed({ setting: reset[1] === undefined ? 'role' : 'path', value: '', local: false })
  const set = SET.exec(text)
  if (set === null) return FREE
  const [, scope = '', path, written = ''] = set
  const value = written.trim().replace(/;$/, '')
  const isInitial = /^(?:default|none)$/i.test(value)
  return fixed({
    setting: path === undefined ? 'role' : 'path',
    value: isInitial ? '' : value,
    local: /^local$/i.test(scope),
  })
}

function fixed(change: SettingChange): StatementEffect {
  const changes = [change]
  return schemaFree('settings', () => changes)
}

/** The change that a call of `set_config` makes, as far as its text shows. */
const CONFIG_NAME = /set_config\s*\(\s*(?:'([^']*)'|\$(\d+))?/gi
const CONFIG_REST = /\s*(?:::\s*text\s*)?,\s*(?:'([^']*)'|\$(\d+))\s*(?:::\s*text\s*)?,\s*(true|false)\s*\)/iy

interface ConfigCall {
  readonly name: string | number | undefined
  readonly value: string | number | undefined
  readonly local: boolean
}

function configEffect(text: string): StatementEffect {
  if (!text.includes('set_config') && !text.includes('SET_CONFIG')) return NONE
  const calls = Array.from(text.matchAll(CONFIG_NAME), (match): ConfigCall => {
    CONFIG_REST.lastIndex = match.index + match[0].length
    const rest = CONFIG_REST.exec(text)
    return {
      name: literalOrNumber(match[1], match[2]),
      value: literalOrNumber(rest?.[1], rest?.[2]),
      local: /^true$/i.test(rest?.[3] ?? ''),
    }
  })
  const relevant = calls.filter(({ name }) => typeof name !== 'string' || settingOf(name) !== undefined)
  if (relevant.length === 0) return NONE
  return effect('settings', (values) => relevant.flatMap((call) => changeOf(call, values)))
}

function changeOf({ name, value, local }: ConfigCall, values: readonly EncodedValue[]): SettingChange[] {
  const given = (part: string | number | undefined): unknown =>
    typeof part === 'number' ? values[part - 1] : part
  const named = given(name)
  if (typeof named !== 'string') return [{ setting: 'path', value: undefined, local: false }]
  const setting = settingOf(named)
  if (setting === undefined) return []
  const becomes = given(value)
  // '' means the value at connect; no search path is empty by mistake.
  return [{ setting, value: typeof becomes === 'string' ? `'${becomes}'` : undefined, local }]
}

function literalOrNumber(
  literal: string | undefined,
  number: string | undefined,
): string | number | undefined {
  return literal ?? (number === undefined ? undefined : Number(number))
}

function settingOf(name: string): NameSetting | undefined {
  switch (name.toLowerCase()) {
    case 'search_path':
      return 'path'
    case 'role':
    case 'session_authorization':
      return 'role'
    default:
      return undefined
  }
}
