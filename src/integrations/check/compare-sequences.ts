/** Compares the sequences that the base names with those of the database. */
import type { Connection } from '../../index.js'
import type { DeclaredType } from '../../schema/column.js'
import { SEQUENCE_DEFINITION } from '../introspect/catalog-queries.js'
import { ident, type Differences } from './difference.js'
import { live } from './proposal.js'
import type { Shadow } from './shadow.js'

/** Definitions of sequences without what is the default, by `schema\0name`. */
export type SequenceDefinitions = ReadonlyMap<string, string>

/** The sequences of schemas. */
export async function readSequences(
  connection: Connection,
  schemas: readonly string[],
): Promise<SequenceDefinitions> {
  const result = await connection.execute<{ schema: string; name: string; definition: string }>({
    text: `
      select n.nspname::text as schema, s.relname::text as name, ${SEQUENCE_DEFINITION} as definition
      from pg_catalog.pg_sequence q
      join pg_catalog.pg_class s on s.oid = q.seqrelid
      join pg_catalog.pg_namespace n on n.oid = s.relnamespace
      where n.nspname = any($1::text[])`,
    values: [schemas],
  })
  return new Map(result.all().map(({ schema, name, definition }) => [`${schema}\0${name}`, definition]))
}

/**
 * @param home The schema of a sequence that names none.
 * @param before The sequences of the database before anything was created.
 * @param after Those of the shadow.
 */
export function compareSequences(
  sequences: readonly DeclaredType[],
  home: string,
  before: SequenceDefinitions,
  shadow: Shadow,
  after: SequenceDefinitions,
  differences: Differences,
): void {
  for (const sequence of sequences) {
    const { schema = home, name, definition } = sequence
    const where = `${schema}.${name}`
    const found = before.get(`${schema}\0${name}`)
    const wanted = after.get(`${shadow.schemas.get(schema) ?? ''}\0${name}`)
    if (wanted === undefined)
      differences.add(
        where,
        'different',
        'writing',
        `it cannot be created: ${shadow.refused.get(sequence) ?? ''}`,
      )
    else if (found === undefined)
      differences.add(where, 'missing', 'writing', 'the sequence is not in the database', [
        live('sequence', `create sequence ${ident(schema, name)} ${definition}`.trimEnd()),
      ])
    else if (wanted !== found)
      differences.add(
        where,
        'different',
        'nothing',
        `the database has a sequence ${found}, the entities ${wanted}`,
        [live('sequence', `alter sequence ${ident(schema, name)} ${alterOptions(wanted).join(' ')}`)],
      )
  }
}

function alterOptions(definition: string): string[] {
  const type = /^as (\w+)/.exec(definition)?.[1] ?? 'bigint'
  return [`as ${type}`, ...sequenceOptions(definition, type)]
}

const LARGEST: Readonly<Record<string, string>> = {
  smallint: '32767',
  integer: '2147483647',
  bigint: '9223372036854775807',
}
const SMALLEST: Readonly<Record<string, string>> = {
  smallint: '-32768',
  integer: '-2147483648',
  bigint: '-9223372036854775808',
}

/** Every option of a sequence for ALTER, from a definition that has only what is unusual. */
export function sequenceOptions(definition: string, type: string): string[] {
  const option = (name: string): string | undefined => new RegExp(`\\b${name} (-?\\d+)`).exec(definition)?.[1]
  const increment = option('increment by') ?? '1'
  const isDown = increment.startsWith('-')
  const least = option('minvalue') ?? (isDown ? SMALLEST[type] : '1')
  const greatest = option('maxvalue') ?? (isDown ? '-1' : LARGEST[type])
  return [
    `increment by ${increment}`,
    `minvalue ${least}`,
    `maxvalue ${greatest}`,
    `start with ${option('start with') ?? (isDown ? greatest : least)}`,
    `cache ${option('cache') ?? '1'}`,
    / cycle$|^cycle$/.test(definition) ? 'cycle' : 'no cycle',
  ]
}
