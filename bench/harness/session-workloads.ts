/** The workloads of `session.ts`: what every contender has to do, and the check that it did. */
import type { Contender, Run } from './contender.js'

/** A row of `item`. */
export interface Item {
  readonly id: number
  readonly name: string
  readonly price: number
  readonly note: string
}

/** A row for `event`. */
export interface NewEvent {
  readonly itemId: number
  readonly kind: string
  readonly payload: string
}

/** Transactions as a service writes them. Whatever the code around them, each has to be atomic. */
export interface SessionWork {
  /** A transaction with one SELECT by primary key, whose row is used before the transaction ends. */
  read(id: number): Promise<Item | undefined>
  /** The same in a read-only transaction, where the library knows such. */
  readOnly(id: number): Promise<Item | undefined>
  /** A transaction with one INSERT ... RETURNING id, whose id is used before the transaction ends. */
  write(event: NewEvent): Promise<number | undefined>
  /** A transaction with three SELECTs that do not depend on each other. */
  three(ids: readonly [number, number, number]): Promise<readonly (Item | undefined)[]>
  /** A transaction with a savepoint around one INSERT ... RETURNING id. */
  savepoint(event: NewEvent): Promise<number | undefined>
  /** A transaction that is one INSERT ... RETURNING id and nothing else. */
  selfContained(event: NewEvent): Promise<number | undefined>
  /** One SELECT by primary key without a transaction around it. */
  autocommit(id: number): Promise<Item | undefined>
  close(): Promise<unknown>
}

export type SessionWorkload = Exclude<keyof SessionWork, 'close'>

export const SELECT_ITEM = 'SELECT id, name, price, note FROM item WHERE id = $1'
export const INSERT_EVENT = 'INSERT INTO event (item_id, kind, payload) VALUES ($1, $2, $3) RETURNING id'

const ITEMS = 10_000

/** Drives a contender with ids all over the table, and fails if an answer is wrong. */
export function sessionContender(work: Partial<SessionWork> & Pick<SessionWork, 'close'>): Contender {
  let turn = 0
  const nextId = (): number => 1 + ((turn += 7_919) % ITEMS)
  const nextEvent = (): NewEvent => {
    const itemId = nextId()
    return { itemId, kind: 'played', payload: `event of ${String(itemId)}` }
  }
  const reading = (
    read: ((id: number) => Promise<Item | undefined>) | undefined,
  ): (() => Promise<void>) | undefined =>
    read &&
    (async () => {
      const id = nextId()
      requireItem(await read(id), id)
    })
  const writing = (
    write: ((event: NewEvent) => Promise<number | undefined>) | undefined,
  ): (() => Promise<void>) | undefined => write && (async () => requireId(await write(nextEvent())))
  const { three } = work

  const once: Record<SessionWorkload, (() => Promise<void>) | undefined> = {
    read: reading(work.read),
    readOnly: reading(work.readOnly),
    write: writing(work.write),
    three:
      three &&
      (async () => {
        const ids = [nextId(), nextId(), nextId()] as const
        const items = await three(ids)
        for (const [at, id] of ids.entries()) requireItem(items[at], id)
      }),
    savepoint: writing(work.savepoint),
    selfContained: writing(work.selfContained),
    autocommit: reading(work.autocommit),
  }
  const runs: Record<string, Run> = {}
  for (const [name, operation] of Object.entries(once)) {
    if (operation === undefined) continue
    runs[name] = async (cycles) => {
      for (let cycle = 0; cycle < cycles; cycle += 1) await operation()
    }
  }
  return { runs, close: () => work.close() }
}

function requireItem(item: Item | undefined, id: number): void {
  if (item?.id === id && item.name === `item ${String(id)}` && typeof item.price === 'number') return
  throw new Error(`Expected item ${String(id)}, got ${JSON.stringify(item)}`)
}

function requireId(id: number | undefined): void {
  if (!Number.isInteger(id)) throw new Error(`Expected the id of a new event, got ${JSON.stringify(id)}`)
}
