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

/** All statements in an order that works, each once. */
export function proposedScript(proposals: readonly Proposal[]): string {
  const texts = STEPS.flatMap((step) => afterLabels(proposals).filter((one) => one.step === step)).map(
    proposalText,
  )
  return [...new Set(texts)].map((text) => `${text}\n`).join('')
}

/** PostgreSQL refuses a label in the transaction that adds it. What uses it waits, with what needs that. */
function afterLabels(proposals: readonly Proposal[]): Proposal[] {
  const labels = proposals.flatMap(({ label }) => (label === undefined ? [] : [label]))
  const waiting = new Map<Proposal, string>()
  for (const one of proposals) {
    const used = labels.find((label) => one.statements.some((statement) => statement.includes(label)))
    if (used !== undefined && one.label === undefined && !one.isLossy) waiting.set(one, used)
  }
  for (const [first, label] of [...waiting]) {
    const { creates } = first
    if (creates === undefined) continue
    const needsIt = (statement: string): boolean =>
      statement.includes(creates.table) &&
      (creates.column === undefined || mentions(statement, creates.column))
    for (const one of proposals)
      if (!waiting.has(one) && !one.isLossy && one.statements.some(needsIt)) waiting.set(one, label)
  }
  return proposals.map((one) => {
    const label = waiting.get(one)
    return label === undefined
      ? one
      : { ...one, isLossy: true, note: `in a transaction after the one that adds the label ${label}` }
  })
}

/** Whether SQL may name a column: a word of it, or the name in quotes. */
export function mentions(sql: string, column: string): boolean {
  return sql.includes(`"${column.replaceAll('"', '""')}"`) || sql.split(/[^\p{L}\p{N}_$]+/u).includes(column)
}
