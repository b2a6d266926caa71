/** Statements that bring a database to the entities, and the script that they make together. */

/** In this order the statements of one script work. */
const STEPS = [
  'schema',
  'extension',
  'sequence',
  'type',
  'drop foreign key',
  'drop constraint',
  'drop generated',
  'table',
  'column',
  'generated',
  'key',
  'constraint',
  'foreign key',
] as const

/** A statement, or several that belong together. */
export interface Proposal {
  readonly step: (typeof STEPS)[number]
  /** Statements without their last semicolon. Empty: only the note. */
  readonly statements: readonly string[]
  /** Something would be lost, so it is a comment. */
  readonly isLossy: boolean
  /** What a person has to know or to do. */
  readonly note?: string
  /** The label that it adds to an enum type, as a literal. */
  readonly label?: string
  /** The table, in SQL, or the column that it creates. */
  readonly creates?: { readonly table: string; readonly column?: string }
}

/** A proposal that loses nothing. */
export function live(step: Proposal['step'], ...statements: readonly string[]): Proposal {
  return { step, statements, isLossy: false }
}

/** A proposal that loses something, so that it is proposed as a comment. */
export function lossy(step: Proposal['step'], ...statements: readonly string[]): Proposal {
  return { step, statements, isLossy: true }
}

/** What no statement does. */
export function byHand(step: Proposal['step'], note: string): Proposal {
  return { step, statements: [], isLossy: true, note }
}

/** Notes stand in parentheses, so that they differ from statements that are comments. */
export function proposalText({ statements, isLossy, note }: Proposal): string {
  const text = statements.map((statement) => `${statement};`).join('\n')
  return [
    ...(note === undefined ? [] : [comment(`(${note})`)]),
    ...(text === '' ? [] : [isLossy ? comment(text) : text]),
  ].join('\n')
}

function comment(text: string): string {
  return text
    .split('\n')
    .map((line) => `-- ${line}`)
    .join('\n')
}

/** All statements in an order that works, each once: what one difference needs as a statement is no comment for another. */
export function proposedScript(proposals: readonly Proposal[]): string {
  const chosen = new Map<string, Proposal>()
  for (const one of afterOthers(proposals)) {
    const key = one.statements.length === 0 ? proposalText(one) : `${one.step} ${one.statements.join(';')}`
    const other = chosen.get(key)
    if (other === undefined || (other.isLossy && (!one.isLossy || other.note === undefined)))
      chosen.set(key, one)
  }
  return STEPS.flatMap((step) => [...chosen.values()].filter((one) => one.step === step))
    .map((one) => `${proposalText(one)}\n`)
    .join('')
}

/**
 * What cannot run yet becomes a comment: PostgreSQL refuses a label in the transaction that adds it, and what only a comment creates is not
 * there. The same holds for what needs those.
 */
function afterOthers(proposals: readonly Proposal[]): Proposal[] {
  const notes = new Map<Proposal, string>()
  const wait = (isConcerned: (statement: string) => boolean, note: string): void => {
    for (const one of proposals) {
      if (one.isLossy || one.label !== undefined || notes.has(one) || !one.statements.some(isConcerned))
        continue
      notes.set(one, note)
      if (one.creates !== undefined) waitFor(one.creates, note)
    }
  }
  const waitFor = ({ table, column }: NonNullable<Proposal['creates']>, note: string): void =>
    wait(
      (statement) => statement.includes(table) && (column === undefined || mentions(statement, column)),
      note,
    )
  for (const { label } of proposals)
    if (label !== undefined)
      wait(
        (statement) => statement.includes(label),
        `in a transaction after the one that adds the label ${label}`,
      )
  for (const { isLossy, creates } of proposals)
    if (isLossy && creates !== undefined)
      waitFor(
        creates,
        `when ${creates.column === undefined ? '' : `column ${creates.column} of `}${creates.table} is there`,
      )
  return proposals.map((one) => {
    const note = notes.get(one)
    return note === undefined ? one : { ...one, isLossy: true, note }
  })
}

/** Whether SQL may name a column: a word of it, or the name in quotes. */
export function mentions(sql: string, column: string): boolean {
  return sql.includes(`"${column.replaceAll('"', '""')}"`) || sql.split(/[^\p{L}\p{N}_$]+/u).includes(column)
}
