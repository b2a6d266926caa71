import { describe, expect, test } from 'vitest'
import { declarativeBase, deleteFrom, eq, integer, not, select } from '../../../src/index.js'

describe('tables of the same name in two schemas', () => {
  const Base = declarativeBase()
  const First = Base.entity('things', { id: integer().primaryKey() }, { schema: 'one' })
  const Second = Base.entity('things', { id: integer().primaryKey(), first: integer() }, { schema: 'two' })

  test('are not mixed in a condition, where PostgreSQL would take one for the other', () => {
    expect(() => select(Second).where(eq(Second.c.first, First.c.id))).toThrow(
      'have the same name in different schemas',
    )
    expect(() => deleteFrom(Second).where(not(eq(First.c.id, 1)))).toThrow('write it with sql and aliases')
    const apart = select(First).where(select(Second).where(eq(Second.c.first, 1)).exists())
    expect(apart.toEntityQuery().text).toContain('from "two"."things" where "things"."first" = $1')
  })
})
