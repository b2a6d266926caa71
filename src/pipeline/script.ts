/** Runs scripts, and finds out from the server's answers (not from the text) whether a script ended its transaction. */
import type { DriverConnection } from '../driver/driver.js'
import { IllegalStateError } from '../errors.js'

/** A script has ended the transaction around it, or left one open that had to be ended. */
export class EndedBehindError extends IllegalStateError {
  /** True: a part of the script may be stored. */
  readonly isStored: boolean

  constructor(message: string, isStored: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    Object.defineProperty(this, 'isStored', { enumerable: false })
    this.isStored = isStored
  }
}

/** Tags of commands that begin and end transactions. ROLLBACK is also the tag of ROLLBACK TO SAVEPOINT. */
const CONTROL = new Set(['BEGIN', 'START TRANSACTION', 'COMMIT', 'ROLLBACK', 'PREPARE TRANSACTION'])
const STORES = new Set(['COMMIT', 'PREPARE TRANSACTION'])
/** Only such a text can have a ROLLBACK among its tags. */
const MAY_ROLL_BACK = /\b(?:rollback|abort)\b/i
/** The most tags that are remembered. */
const MOST_TAGS = 100

const ADVICE =
  'A script with transactions of its own belongs on a connection in autocommit mode: engine.connect({ autocommit: true })'

/**
 * Runs a script. Inside a transaction the script must not end it. Outside, a transaction that the script leaves open is rolled back.
 * @throws what the server refuses, and EndedBehindError, whose message says what is stored.
 */
export async function runScript(connection: DriverConnection, text: string): Promise<void> {
  const isInside = connection.transactionStatus === 'transaction'
  const before = isInside && MAY_ROLL_BACK.test(text) ? await beginningOf(connection) : undefined
  const tags: string[] = []
  // After a ROLLBACK the rest of a script is a transaction of its own, which PostgreSQL commits at the end.
  let goesOn = false
  const note = (tag: string): void => {
    const controls = CONTROL.has(tag)
    if (controls && tags.length < MOST_TAGS) tags.push(tag)
    goesOn = !controls && tags[tags.length - 1] === 'ROLLBACK'
  }
  let failure: { readonly error: unknown } | undefined
  try {
    await connection.script(text, note)
  } catch (error) {
    failure = { error }
  }
  if (connection.lost === undefined) {
    if (!isInside) await requireClosed(connection, failure)
    else if (await isEnded(connection, tags, before)) {
      throw endedBy(tags, failure?.error, goesOn && failure === undefined && isIdle(connection))
    }
  }
  if (failure !== undefined) throw failure.error
}

/** Whether the transaction that was open before the script has ended. */
async function isEnded(
  connection: DriverConnection,
  tags: readonly string[],
  before: string | undefined,
): Promise<boolean> {
  if (isIdle(connection) || tags.some((tag) => STORES.has(tag))) return true
  // A failed transaction cannot be queried, and stores nothing in any case.
  if (before === undefined || !tags.includes('ROLLBACK') || connection.transactionStatus !== 'transaction')
    return false
  return (await beginningOf(connection)) !== before
}

function isIdle(connection: DriverConnection): boolean {
  return connection.transactionStatus === 'idle'
}

/** When the transaction began, to the microsecond: identifies the transaction on its connection. */
function beginningOf(connection: DriverConnection): Promise<string> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    let beginning = ''
    const statement = {
      text: 'select transaction_timestamp()::text as "beginning"',
      prepare: false,
      onResult: ({ rows }: { readonly rows: readonly unknown[] }) => {
        beginning = (rows as { beginning: string }[])[0]?.beginning ?? ''
      },
      onError: (error: Error) => {
        failure = error
      },
    }
    const onEnd = (): void => {
      if (failure === undefined) resolve(beginning)
      else reject(failure)
    }
    connection.submit({ statements: [statement], sync: 'shared', onEnd })
  })
}

/** @param storesRest True: the statements of the script after a ROLLBACK are stored. */
function endedBy(tags: readonly string[], cause: unknown, storesRest: boolean): EndedBehindError {
  const end = tags.find((tag) => STORES.has(tag) || tag === 'ROLLBACK')
  const isStored = end === undefined || tags.some((tag) => STORES.has(tag))
  const what =
    end === 'PREPARE TRANSACTION'
      ? 'prepared the transaction of its block: what was done before is stored when COMMIT PREPARED is run'
      : end === 'COMMIT'
        ? 'committed the transaction of its block: what was done before, and what the script itself committed, is stored'
        : isStored
          ? `ended the transaction of its block (${tags.join(', ')}): what it committed is stored, what it rolled back is lost`
          : `rolled back the transaction of its block: what was done before is lost${storesRest ? ', and what the script did after that is stored' : ''}`
  const failed = cause === undefined ? '' : ', and failed then (see cause)'
  return new EndedBehindError(
    `The script ${what}${failed}. Nothing more runs in it. ${ADVICE}.`,
    isStored,
    cause,
  )
}

/** Rolls back the transaction that a script has left open in autocommit mode. */
async function requireClosed(
  connection: DriverConnection,
  failure: { readonly error: unknown } | undefined,
): Promise<void> {
  if (isIdle(connection)) return
  await connection.script('ROLLBACK').catch(() => undefined)
  if (!isIdle(connection)) {
    connection.destroy(new Error('The transaction that a script had left open could not be rolled back'))
  }
  if (failure !== undefined) return
  throw new EndedBehindError(
    'The script left a transaction open, in autocommit mode, where nothing could end it: it was rolled back. What the script had ' +
      'committed before stays stored. Let the script end with COMMIT, or run it in begin(fn) without BEGIN and COMMIT of its own.',
    false,
  )
}

/** A single statement ended the transaction; it is not known whether by COMMIT or ROLLBACK. */
export function endedByStatement(): EndedBehindError {
  return new EndedBehindError(
    'A statement ended the transaction of its block, by a COMMIT or ROLLBACK of its own: look whether what was done before is stored',
    true,
  )
}
