/** Names that generated code cannot or should not use, and those of the types that it imports. */

const listed = (text: string): readonly string[] => text.trim().split(/\s+/)

/** Types of PostgreSQL that take no options, and how the package calls them. */
export const PACKAGE_TYPES: Readonly<Record<string, string>> = {
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  float4: 'real',
  float8: 'doublePrecision',
  bool: 'boolean',
  text: 'text',
  uuid: 'uuid',
  json: 'json',
  jsonb: 'jsonb',
  bytea: 'bytea',
  date: 'date',
}

/** Types of PostgreSQL that take no options, which `lifeguard/types` calls by the same names. */
export const RARE_TYPES: ReadonlySet<string> = new Set(
  listed(`
  inet cidr macaddr macaddr8 money xml tsvector tsquery point line lseg box path polygon circle int4range
  int8range numrange daterange tsrange tstzrange int4multirange int8multirange nummultirange
  datemultirange tsmultirange tstzmultirange
`),
)

/** Properties that would change what an instance is, or hide what every object has. */
export const RESERVED_PROPERTIES: ReadonlySet<string> = new Set(
  listed(`
  constructor __proto__ then toString toJSON valueOf toLocaleString hasOwnProperty isPrototypeOf
  propertyIsEnumerable
`),
)

/** Classes that would hide what the language or Node has. */
export const RESERVED_CLASSES: ReadonlySet<string> = new Set(
  listed(`
  Base Object Function Array String Number Boolean Symbol BigInt Date Promise Map Set WeakMap WeakSet
  Error RegExp Proxy Reflect JSON Math Intl Buffer Record Partial Pick Omit Readonly Required Awaited
  Infinity NaN Atomics DataView TypeError RangeError EvalError SyntaxError AggregateError ArrayBuffer
  Uint8Array
`),
)

/** What generated files import, and words of the language: names that constants cannot have. */
export const RESERVED_CONSTANTS: ReadonlySet<string> = new Set([
  ...Object.values(PACKAGE_TYPES),
  ...RARE_TYPES,
  ...listed(`
  bigserial char interval numeric serial smallserial time timestamp timestamptz varchar version customType
  enumType sql declarativeBase belongsTo hasMany hasOne manyToMany bit otherType varbit rangeType
  compositeType domainType citext hstore vector arguments await break case catch class const continue
  debugger default delete do else enum eval export extends false finally for function if implements import
  in instanceof interface let new null package private protected public return static super switch this
  throw true try typeof undefined var void while with yield
`),
])
