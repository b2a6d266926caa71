/** Adds advice to errors of PostgreSQL whose cause is a common mistake that the text of the statement shows. */

interface Mistake {
  readonly sqlStates: readonly string[]
  /** Whether it is this mistake. @param text The statement without strings, quoted names and comments. */
  isMade(text: string, message: string): boolean
  readonly advice: string
}

const MISTAKES: readonly Mistake[] = [
  {
    sqlStates: ['42601'],
    isMade: (_text, message) => message.startsWith('cannot insert multiple commands'),
    advice: 'execute() runs one statement; executeScript(text) runs several, without values',
  },
  {
    sqlStates: ['42601'],
    isMade: (_text, message) => /at or near "\$\d+"$/.test(message),
    advice:
      'PostgreSQL takes no parameter in this place. For a name: sql.identifier(name) in the sql tag; for a type: $1::interval; for a list: = any($1)',
  },
  {
    sqlStates: ['42601', '42883'],
    isMade: (text) => /[=<>(,\s]\?(?![|&?])/.test(text) && !/\$\d/.test(text),
    advice: 'Placeholders are $1, $2, ... (not ?), or values in the sql tag: sql`... ${value}`',
  },
  {
    sqlStates: ['42601'],
    isMade: (text) => /(?<![:\w]):[a-z_]\w*/i.test(text),
    advice: 'There are no named parameters: write $1, $2, ..., or values in the sql tag: sql`... ${value}`',
  },
  {
    sqlStates: ['08P01'],
    isMade: (text, message) => message.endsWith('requires 0') && !/\$\d/.test(text),
    advice: 'The statement has no $1, $2, ... for these values (in quotes, $1 is text: leave the quotes out)',
  },
  {
    sqlStates: ['42P02'],
    isMade: () => true,
    advice: 'A script takes no values: execute(text, values) runs one statement with values',
  },
  {
    sqlStates: ['08P01'],
    isMade: (_text, message) => message.startsWith('bind message supplies'),
    advice: 'Each of $1, $2, ... needs its value: execute(text, [first, second]), or sql`... ${value}`',
  },
  {
    sqlStates: ['22P02', '22007', '22008'],
    isMade: (text, message) => /\bin\s*\(\s*\$\d+\s*\)/i.test(text) && message.includes('"{'),
    advice:
      'An array is one parameter: write `= any(${values})` instead of `in (${values})`, or in (${sql.join(values)})',
  },
  {
    sqlStates: ['21000'],
    isMade: (_text, message) => message.includes('affect row a second time'),
    advice:
      'Two of the given rows have the same values in the conflict target: give one row for each key, such as the last one of a Map by key',
  },
  {
    sqlStates: ['42P10'],
    isMade: (_text, message) => message.includes('ON CONFLICT'),
    advice:
      'The conflict target must be the columns of one unique index or constraint, all of them; a partial unique index also needs its where',
  },
  {
    sqlStates: ['42703'],
    isMade: isValueAsName,
    advice:
      'If this is a value: give it as a parameter, $1 or sql`... ${value}`. In SQL, text has single quotes, and double quotes are for names',
  },
  {
    sqlStates: ['42P05', '26000'],
    isMade: (_text, message) => message.includes('lifeguard_'),
    advice:
      'A pooler between here and PostgreSQL changes the backend between transactions and knows no prepared statements (PgBouncer before 1.21): set statementCacheSize: 0',
  },
]

/** A value that was put into the text without quotes, or with double quotes: it stands behind a comparison. */
function isValueAsName(text: string, message: string): boolean {
  const name = /^column "(\w+)" does not exist$/.exec(message)?.[1]
  if (name === undefined) return false
  const values = [...text.matchAll(/(?:[=<>]|\blike|\bvalues\s*\()\s*(\w+|'')/gi)].map(([, value]) => value)
  return values.includes(name) || (values.includes("''") && !text.includes(name))
}

/** What follows the server's message: empty, or a sentence. */
export function adviceFor(
  { code: sqlState, message }: { readonly code?: string | undefined; readonly message: string },
  statement: string | undefined,
): string {
  if (sqlState === undefined) return ''
  const candidates = MISTAKES.filter(({ sqlStates }) => sqlStates.includes(sqlState))
  if (candidates.length === 0) return ''
  const text = withoutQuoted(statement ?? '')
  const made = candidates.find(({ isMade }) => isMade(text, message))
  return made === undefined ? '' : `. ${made.advice}`
}

// A statement may be megabytes long, and the mistake is mostly made early.
const LONGEST_TEXT = 10_000

function withoutQuoted(statement: string): string {
  return statement
    .slice(0, LONGEST_TEXT)
    .replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--.*|\/\*[\s\S]*?\*\/|\$(\w*)\$[\s\S]*?\$\1\$/g, "''")
}
