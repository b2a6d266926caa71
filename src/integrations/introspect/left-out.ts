/** Tells what a table has and its entity does not say. */
import type { CatalogSequence, CatalogTable } from './catalog-model.js'
import { labelOf } from './entity-plan.js'
import type { Findings } from './findings.js'

/** @param sequences Those that the base names. */
export function tellLeftOut(
  table: CatalogTable,
  sequences: readonly CatalogSequence[],
  findings: Findings,
): void {
  const where = labelOf(table)
  const leave = (what: string): void => findings.add('left out', where, what)
  if (table.rowSecurity)
    findings.add('hint', where, 'has row-level security: a session sees what its role sees')
  if (table.kind === 'foreign table') leave('that it is a foreign table: ddl() would make a table of its own')
  if (table.kind.endsWith('view')) return
  if (table.inherits.length > 0)
    leave(`that it inherits from ${table.inherits.join(', ')}, whose rows include those of this table`)
  if (table.unlogged) leave('that it is UNLOGGED')
  if (table.storage !== null) leave(`its storage parameters: ${table.storage}`)
  if (table.triggers.length > 0) leave(`its triggers: ${table.triggers.join(', ')}`)
  if (table.rules.length > 0) leave(`its rules: ${table.rules.join(', ')}`)
  if (table.partitionBy !== null)
    findings.add('hint', where, 'its partitions are not entities: rows go through the table itself')
  tellColumns(table, sequences, findings)
  for (const one of table.constraints) {
    if (!one.validated && one.enforced)
      leave(`that the constraint ${one.name} is NOT VALID: ddl() creates it valid`)
  }
}

function tellColumns(table: CatalogTable, sequences: readonly CatalogSequence[], findings: Findings): void {
  for (const { name, default: filled, serial, sequence, newNotNull } of table.columns) {
    const where = `${labelOf(table)}.${name}`
    const isCreated = sequences.some(({ nextval }) => filled?.includes(nextval))
    if (filled?.includes('nextval(') === true && !isCreated)
      findings.add(
        'hint',
        where,
        `its default uses a sequence that ddl() may create too late, or not at all: ${filled}`,
      )
    if (serial && sequence !== null && sequence !== '')
      findings.add('left out', where, `the options of its sequence: ${sequence}`)
    if (newNotNull !== null)
      findings.add(
        'left out',
        where,
        `its constraint ${newNotNull} NOT NULL, which is NOT VALID: rows may have NULL there`,
      )
  }
}
