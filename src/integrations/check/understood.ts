/**
 * Proposals that the server at hand can parse. Entities may say what a later PostgreSQL understands (`not enforced`), and the server
 * compares other parts of them before it has parsed that.
 */
import { randomBytes } from 'node:crypto'
import { DatabaseError, type Connection } from '../../index.js'
import type { Proposal } from './proposal.js'

/** The proposals whose statements the server cannot parse, with its reason. Nothing of them runs. */
export async function notUnderstood(
  connection: Connection,
  proposals: readonly Proposal[],
): Promise<ReadonlyMap<Proposal, string>> {
  const stated = proposals.filter(({ statements }) => statements.length > 0)
  if (stated.length === 0 || (await parseProblem(connection, stated)) === undefined) return new Map()
  const found = new Map<Proposal, string>()
  for (const one of stated) {
    const problem = await parseProblem(connection, [one])
    if (problem !== undefined) found.set(one, problem)
  }
  return found
}

/** PL/pgSQL parses each statement of a block before the block begins, and this block ends at its first statement. */
async function parseProblem(
  connection: Connection,
  proposals: readonly Proposal[],
): Promise<string | undefined> {
  const statements = proposals.flatMap((one) => one.statements).map((statement) => `${statement};\n`)
  const tag = `$lifeguard${randomBytes(4).toString('hex')}$`
  try {
    await connection.beginNested(() =>
      connection.executeScript(
        `set local check_function_bodies = on; do ${tag} begin return;\n${statements.join('')}end ${tag};`,
      ),
    )
    return undefined
  } catch (error) {
    // A database without PL/pgSQL gives no answer.
    if (!(error instanceof DatabaseError)) throw error
    return error.sqlState === '42601' ? error.message : undefined
  }
}
