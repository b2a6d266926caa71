/** Whether a server is what `target_session_attrs` asks for: primary or standby, and whether a session may write there. */
import type { StatementConnection, TypeParsers } from './driver.js'
import { StatementNotRun } from './driver.js'
import type { TargetSessionAttrs } from './connect-args.js'

/** The server answered, and is not what is wanted. */
export class WrongRoleError extends Error {
  override readonly name = 'WrongRoleError'
}

interface ServerRole {
  readonly isStandby: boolean
  readonly isReadOnly: boolean
}

/**
 * Asked of the server and not taken from `in_hot_standby`, which it reports at connect: PgBouncer tells each new client what it
 * was told itself once (pgbouncer#859). Costs a round trip for each new connection.
 */
const QUESTION =
  "select pg_catalog.pg_is_in_recovery()::text, pg_catalog.current_setting('transaction_read_only')"

const AS_TEXT: TypeParsers = { getTypeParser: () => (text) => text }

/** Rejects with {@link WrongRoleError} if the server is not what is wanted, and with its own error if it gives no answer. */
export async function requireRole(
  connection: StatementConnection,
  wanted: TargetSessionAttrs,
): Promise<void> {
  if (wanted === 'any') return
  const problem = problemWith(await askRole(connection), wanted)
  if (problem !== undefined) throw new WrongRoleError(`${problem}, and target_session_attrs is ${wanted}`)
}

function problemWith({ isStandby, isReadOnly }: ServerRole, wanted: TargetSessionAttrs): string | undefined {
  switch (wanted) {
    case 'primary':
      return isStandby ? 'it is a standby' : undefined
    case 'standby':
    case 'prefer-standby':
      return isStandby ? undefined : 'it is a primary'
    case 'read-write':
      return isReadOnly ? 'its sessions are read-only' : undefined
    case 'read-only':
      return isReadOnly ? undefined : 'its sessions may write'
    case 'any':
      return undefined
  }
}

function askRole(connection: StatementConnection): Promise<ServerRole> {
  return new Promise((resolve, reject) => {
    let settle = (): void => reject(new Error('The server did not tell its role'))
    connection.submit({
      sync: 'separate',
      statements: [
        {
          text: QUESTION,
          prepare: false,
          rowMode: 'array',
          types: AS_TEXT,
          onResult: ({ rows: [row] }) => {
            const [recovery, readOnly] = row as [string, string]
            settle = () => resolve({ isStandby: recovery === 'true', isReadOnly: readOnly === 'on' })
          },
          onError: (error) => {
            settle = () => reject(error instanceof StatementNotRun ? error.cause : error)
          },
        },
      ],
      onEnd: () => settle(),
    })
  })
}
