import { expect, test } from 'vitest'
import { HookSet } from '../../../src/session/session-hooks.js'

test('hooks come in the order in which they were added, by moment', () => {
  const hooks = new HookSet<object>()
  const [one, two, three] = [() => 1, () => 2, () => 3]
  hooks.add('afterCommit', one)
  hooks.add('begin', two)
  hooks.add('afterCommit', three)
  expect(hooks.of('afterCommit')).toEqual([one, three])
  expect(hooks.of('begin')).toEqual([two])
  expect(hooks.of('afterRollback')).toEqual([])
})

test('a hook is taken off by what adding it gave, again and again without harm', () => {
  const hooks = new HookSet<object>()
  const hook = (): void => undefined
  const off = hooks.add('begin', hook)
  expect(hooks.has('begin')).toBe(true)
  off()
  off()
  expect(hooks.has('begin')).toBe(false)
  expect(hooks.of('begin')).toEqual([])
})

test('the list that runs does not change while it runs', () => {
  const hooks = new HookSet<object>()
  const running = hooks.of('begin')
  hooks.add('begin', () => undefined)
  expect(running).toEqual([])
})

test('clear() forgets all of them', () => {
  const hooks = new HookSet<object>()
  hooks.add('begin', () => undefined)
  hooks.add('afterCommit', () => undefined)
  hooks.clear()
  expect([hooks.has('begin'), hooks.has('afterCommit')]).toEqual([false, false])
})
