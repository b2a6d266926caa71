/** Texts that PostgreSQL cannot be sent, and statements that are nested deep. */
import { expect, test } from 'vitest'
import * as lifeguard from '../../src/index.js'
import { declarativeBase, integer, LifeguardError, sql } from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

class User extends declarativeBase().entity('users', { id: integer().primaryKey() }) {}

const fixture = useDatabase()

test('what PostgreSQL could not be sent as it is is refused, and not stored as U+FFFD', async () => {
  const { withSession } = fixture.factory()
  const half = '\ud800'
  const calls: (() => Promise<unknown>)[] = [
    () => withSession((session) => session.scalar(`select '${half}'`)),
    () => withSession((session) => session.scalar(sql`select 1 as ${sql.identifier(half)}`)),
    () => withSession((session) => session.executeScript(`select '${half}'`)),
    () => withSession((session) => session.scalar('select 1'), { settings: { 'app.tenant': half } }),
    () => withSession((session) => session.scalar('select 1'), { settings: { 'app.tenant': 'a\0b' } }),
    () => withSession((session) => session.scalar('select 1'), { role: half }),
  ]
  for (const call of calls) {
    const error = await errorOf(Promise.resolve().then(call))
    expect(error, String(call)).toBeInstanceOf(LifeguardError)
    expect(error.message, String(call)).toMatch(/half a character/)
  }
  expect(await withSession((session) => session.scalar("select '😀'"))).toBe('😀')
})

test('conditions and fragments may be nested 10,000 levels deep', async () => {
  const { withSession } = fixture.factory()
  let condition = lifeguard.eq(User.c.id, 1)
  let fragment = sql`1`
  for (let level = 0; level < 10_000; level++) {
    condition = level % 2 === 0 ? lifeguard.and(condition) : lifeguard.or(condition, lifeguard.or())
    fragment = sql`${fragment}`
  }
  expect(lifeguard.select(User).where(condition).toEntityQuery().values).toEqual(['1'])
  expect(await withSession((session) => session.scalar(sql`select ${fragment}`))).toBe(1)
})
