/** TypeORM with entities. It has neither named statements nor read-only transactions. */
import { DataSource, EntitySchema, type EntityManager } from 'typeorm'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item, type NewEvent } from '../../harness/session-workloads.js'

const ItemEntity = new EntitySchema<Item>({
  name: 'item',
  columns: {
    id: { type: 'integer', primary: true },
    name: { type: 'text' },
    price: { type: 'integer' },
    note: { type: 'text' },
  },
})
const EventEntity = new EntitySchema<NewEvent & { readonly id: number }>({
  name: 'event',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    itemId: { name: 'item_id', type: 'integer' },
    kind: { type: 'text' },
    payload: { type: 'text' },
  },
})

export const open: Open = async (url) => {
  const source = new DataSource({
    type: 'postgres',
    url,
    entities: [ItemEntity, EventEntity],
    poolSize: POOL_SIZE,
    extra: { idleTimeoutMillis: 0 },
  })
  await source.initialize()
  const itemOf = async (on: EntityManager, id: number): Promise<Item | undefined> =>
    (await on.findOneBy(ItemEntity, { id })) ?? undefined
  // `save` would look for the row first.
  const add = async (on: EntityManager, event: NewEvent): Promise<number | undefined> =>
    (await on.insert(EventEntity, event)).identifiers[0]?.['id'] as number | undefined

  return sessionContender({
    read: (id) => source.transaction((manager) => itemOf(manager, id)),
    readOnly: (id) => source.transaction((manager) => itemOf(manager, id)),
    write: (event) => source.transaction((manager) => add(manager, event)),
    three: ([one, two, three]) =>
      source.transaction(async (manager) => [
        await itemOf(manager, one),
        await itemOf(manager, two),
        await itemOf(manager, three),
      ]),
    savepoint: (event) =>
      source.transaction((manager) => manager.transaction((savepoint) => add(savepoint, event))),
    selfContained: (event) => source.transaction((manager) => add(manager, event)),
    autocommit: (id) => itemOf(source.manager, id),
    close: () => source.destroy(),
  })
}
