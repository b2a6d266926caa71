/** What the contenders of `pool.ts` have in common. Their workloads are `acquire` (and release) and `query` in between. */

export const SELECT_ITEM = 'SELECT id, name, price, note FROM item WHERE id = $1'

let turn = 0

/** Ids all over the table. */
export function nextId(): number {
  return 1 + ((turn += 7_919) % 10_000)
}
