/** The tables of a consistency run: made once, and read in the end. */
import { declarativeBase, integer, serial, text, version, type Engine } from '../../src/index.js'
import { query } from '../helpers/databases.js'
import type { Stored } from './consistency-history.js'

const Base = declarativeBase()

export class Account extends Base.entity('accounts', {
  id: integer().primaryKey(),
  balance: integer().notNull(),
  version: version(),
}) {}

// Tokens are not unique: what is stored twice has to show.
export class Transfer extends Base.entity('transfers', {
  id: serial().primaryKey(),
  token: integer().notNull().index(),
  source: integer().notNull(),
  target: integer().notNull(),
  amount: integer().notNull(),
}) {}

export class List extends Base.entity('lists', {
  id: integer().primaryKey(),
  items: integer().array().notNull(),
  version: version(),
}) {}

export class Mark extends Base.entity('marks', {
  id: serial().primaryKey(),
  token: integer().notNull().index(),
  part: text().notNull(),
}) {}

export const ACCOUNTS = 40
export const LISTS = 60
const BALANCE = 1000
/** The sum of all balances, always. */
export const MONEY = ACCOUNTS * BALANCE

export async function createTables(engine: Engine): Promise<void> {
  await engine.begin(async (connection) => {
    await Base.metadata.createAll(connection)
    await connection.executeScript(`
      create table taken (id int primary key);
      insert into taken values (1);
      insert into accounts select id, ${String(BALANCE)}, 1 from generate_series(1, ${String(ACCOUNTS)}) id;
      insert into lists select id, '{}', 1 from generate_series(1, ${String(LISTS)}) id`)
  })
}

/** Everything that is stored, read on a connection that nothing happens to. */
export async function readStored(url: string, notified: Stored['notified']): Promise<Stored> {
  const [marks, transfers, accounts, lists] = await Promise.all([
    query<{ token: number; part: string }>(url, 'select token, part from marks'),
    query<Record<'token' | 'source' | 'target' | 'amount', number>>(url, 'select * from transfers'),
    query<{ id: number; balance: number }>(url, 'select id, balance from accounts'),
    query<{ id: number; items: number[] }>(url, 'select id, items from lists'),
  ])
  const effects = new Map<number, string[]>()
  const add = (token: number, effect: string): void => {
    const known = effects.get(token)
    if (known === undefined) effects.set(token, [effect])
    else known.push(effect)
  }
  const expected = new Map(accounts.map(({ id }) => [id, BALANCE]))
  for (const { token, part } of marks) add(token, `mark ${part}`)
  for (const { id, items } of lists) for (const token of items) add(token, `item of list ${String(id)}`)
  for (const { token, source, target, amount } of transfers) {
    add(token, 'transfer')
    expected.set(source, (expected.get(source) ?? 0) - amount)
    expected.set(target, (expected.get(target) ?? 0) + amount)
  }
  const sum = accounts.reduce((total, { balance }) => total + balance, 0)
  const money = accounts
    .filter(({ id, balance }) => expected.get(id) !== balance)
    .map(
      ({ id, balance }) =>
        `account ${String(id)} has ${String(balance)}; its transfers make ${String(expected.get(id))}`,
    )
  if (sum !== MONEY) money.push(`there are ${String(sum)} in all accounts instead of ${String(MONEY)}`)
  return { effects, lists: new Map(lists.map(({ id, items }) => [id, items])), money, notified }
}
