/**
 * Whether a statement is a plain read, as far as its text shows: it stores, sends and locks nothing, so its COMMIT cannot store
 * anything either. Functions of the user may do anything, and NOTIFY works in a read-only transaction. So a statement that calls a
 * function not listed here is no plain read. Functions that a view, a policy, an operator or a cast calls are not visible, nor those that
 * are written like a column (`row.function`).
 */

import { rememberedByText } from '../internal/by-text.js'

const BEGINNING = /^[\s(]*(?:select|with|show|table|values)\b/i
// Changes in WITH, SELECT INTO, row locks.
const CHANGING_WORD = /\b(?:insert|update|delete|merge|into|share)\b/i
// Strings with escapes and dollar-quoted strings: their end is hard to find.
const HARD_TO_READ = /\\|\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/i
const QUOTED = /--[^\r\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"/g
// A match may begin only at the start of a word. Otherwise the time would grow with the square of the length of a word.
const CALL =
  /(\.\s*|(?<![\w$\u0080-\uffff])as\s+|(?<![\w$\u0080-\uffff]))([a-z_\u0080-\uffff][\w$\u0080-\uffff]*|["'])\s*\(/gi
const CATALOG = /\bpg_catalog\s*$/i

/** Words of SQL that may stand before a parenthesis. */
const WORDS = `all and any array as between bernoulli bit by case char character cross cube decimal distinct else except exists
  extract filter float from full grouping group having ilike in inner intersect interval is join lateral left like limit materialized
  not numeric offset on only or order outer over partition right rollup row rows select sets similar some system then time
  timestamp timestamptz timetz union using values varchar varying when where with`

/** Functions of PostgreSQL that only compute. Without `log`, because users name a function that writes a log like that. */
const FUNCTIONS = `abs acos age array_agg array_append array_cat array_length array_lower array_ndims array_position array_positions
  array_prepend array_remove array_replace array_to_json array_to_string array_upper ascii asin atan atan2 avg bit_and bit_length
  bit_or bool_and bool_or btrim cardinality cast cbrt ceil ceiling char_length character_length chr clock_timestamp coalesce
  col_description concat concat_ws convert_from convert_to corr cos count cume_dist current_database current_schema
  current_schemas current_setting date date_bin date_part date_trunc decode degrees dense_rank div encode every exp
  first_value floor format format_type generate_series generate_subscripts gen_random_uuid greatest has_schema_privilege
  has_table_privilege host initcap isfinite json_agg json_array_elements json_array_elements_text json_array_length
  json_build_array json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object json_object_agg
  json_object_keys json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_agg
  jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
  jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys
  jsonb_path_exists jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls
  jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_value lead least left length
  ln localtime localtimestamp lower lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp
  make_timestamptz max md5 min mod mode now nth_value ntile nullif num_nonnulls num_nulls obj_description octet_length overlay
  percent_rank percentile_cont percentile_disc pg_backend_pid pg_column_size pg_database_size pg_get_constraintdef
  pg_get_expr pg_get_indexdef pg_get_viewdef pg_is_in_recovery pg_relation_size pg_size_pretty pg_sleep pg_table_is_visible
  pg_table_size pg_total_relation_size pg_typeof phraseto_tsquery pi plainto_tsquery position power quote_ident
  quote_literal quote_nullable radians random rank regexp_count regexp_instr regexp_like regexp_match regexp_matches
  regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right round row_number row_to_json
  rpad rtrim sha224 sha256 sha384 sha512 sign sin split_part sqrt starts_with statement_timestamp stddev stddev_pop
  stddev_samp string_agg string_to_array string_to_table strpos substr substring sum tan text timeofday to_char to_date to_hex to_json
  to_jsonb to_number to_regclass to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim trunc
  ts_headline ts_rank ts_rank_cd txid_current_if_assigned unnest upper upper_inc upper_inf var_pop var_samp variance version
  websearch_to_tsquery width_bucket`

const PLAIN = new Set(`${WORDS} ${FUNCTIONS}`.split(/\s+/))

export const isPureRead: (text: string) => boolean = rememberedByText(readsOnly)

function readsOnly(text: string): boolean {
  if (HARD_TO_READ.test(text)) return false
  const bare = text.replace(QUOTED, blank)
  if (!BEGINNING.test(bare) || CHANGING_WORD.test(bare) || bare.includes("'")) return false
  for (const { 1: before, 2: name, index } of bare.matchAll(CALL)) {
    const isQualified = before?.startsWith('.') === true
    // `AS name (` is an alias with the names of its columns, not a call.
    if (before !== '' && !isQualified) continue
    if (!PLAIN.has(String(name).toLowerCase())) return false
    if (isQualified && !CATALOG.test(bare.slice(0, index))) return false
  }
  return true
}

/** A quoted name stays visible as a quote; a comment inside of a comment makes the text unreadable, and so does a lone quote. */
function blank(quoted: string): string {
  if (quoted.startsWith('"')) return '"'
  if (quoted.startsWith("'")) return '0'
  return quoted.startsWith('/*') && quoted.includes('/*', 2) ? '"(' : ' '
}
