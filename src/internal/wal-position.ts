/**
 * Positions in PostgreSQL's write-ahead log (LSN). A server shows a write when it has replayed the position of the write.
 *
 * @see https://www.postgresql.org/docs/current/datatype-pg-lsn.html
 */

/** A position in the history of one cluster. */
export interface WalPosition {
  /** `system_identifier` of the cluster. */
  readonly system: string
  /** Each promotion begins another one. */
  readonly timeline: number
  readonly lsn: bigint
}

/**
 * The query for the position of a write, sent after its COMMIT. It does not read the flushed position, which is behind the write
 * with `synchronous_commit = off`.
 */
export const POSITION_QUERY: { readonly text: string } = {
  text:
    'select lsn::text as lsn, pg_catalog.left(pg_catalog.pg_walfile_name(lsn), 8) as timeline, ' +
    '(select system_identifier::text from pg_catalog.pg_control_system()) as system ' +
    'from pg_catalog.pg_current_wal_insert_lsn() as lsn',
}

/** The same for a session with `readOnly`, whose server may be a standby. That has no such position, and nothing was written there. */
export const READER_POSITION_QUERY: { readonly text: string } = {
  text: POSITION_QUERY.text.replace(
    'from pg_catalog.pg_current_wal_insert_lsn() as lsn',
    'from (select case when not pg_catalog.pg_is_in_recovery() then pg_catalog.pg_current_wal_insert_lsn() end as lsn) as at',
  ),
}

/** True for the answer of a standby to {@link READER_POSITION_QUERY}. */
export function isAnswerOfStandby(rows: readonly unknown[]): boolean {
  const [row] = rows as readonly { readonly lsn?: unknown }[]
  return row?.lsn === null
}

/** The answer to {@link POSITION_QUERY}; undefined for any other rows. */
export function readWalPosition(rows: readonly unknown[]): WalPosition | undefined {
  const [row] = rows as readonly Partial<Record<'lsn' | 'timeline' | 'system', string>>[]
  const lsn = parseWalPosition(row?.lsn ?? '')
  const timeline = Number.parseInt(row?.timeline ?? '', 16)
  if (lsn === undefined || row?.system === undefined || Number.isNaN(timeline)) return undefined
  return { system: row.system, timeline, lsn: endOfWrites(lsn) }
}

const SHAPE = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i
const PAGE_SIZE = 8192n
/** Sizes of the header of a page: of most pages, and of the first of a segment. */
const PAGE_HEADERS: readonly bigint[] = [24n, 40n]

/** `0/1A20018` as a number; undefined for any other text. */
export function parseWalPosition(text: string): bigint | undefined {
  const [, high, low] = SHAPE.exec(text) ?? []
  return high === undefined || low === undefined
    ? undefined
    : (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

export function formatWalPosition(position: bigint): string {
  return `${(position >> 32n).toString(16)}/${(position & 0xffff_ffffn).toString(16)}`.toUpperCase()
}

/**
 * The end of what is written. An insert position right behind the header of a page stands for the end of the page before: the
 * header is written with the next record, so an idle standby never gets there.
 */
export function endOfWrites(insertPosition: bigint): bigint {
  const offset = insertPosition % PAGE_SIZE
  return PAGE_HEADERS.includes(offset) ? insertPosition - offset : insertPosition
}
