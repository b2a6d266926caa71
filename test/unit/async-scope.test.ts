import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { currentFlow, scopeValueOf, runInScope } from '../../src/internal/async-scope.js'
import { waitUntil } from '../helpers/wait-until.js'

test('within the call, and whatever it starts, the value of the owner is known', async () => {
  const [owner, value] = [{}, {}]
  expect(scopeValueOf(owner)).toBeUndefined()
  await runInScope(owner, value, async () => {
    expect(scopeValueOf(owner)).toBe(value)
    await pause(0)
    expect(scopeValueOf(owner)).toBe(value)
    expect(scopeValueOf({})).toBeUndefined()
  })
  expect(scopeValueOf(owner)).toBeUndefined()
})

test('the innermost value counts, and each owner has its own', () => {
  const [one, other] = [{}, {}]
  const [first, second, third] = [{}, {}, {}]
  runInScope(one, first, () =>
    runInScope(other, second, () => {
      runInScope(one, third, () => expect([scopeValueOf(one), scopeValueOf(other)]).toEqual([third, second]))
      expect(scopeValueOf(one)).toBe(first)
    }),
  )
})

test('one call may set two, the second inside the first', () => {
  const [one, other, first, second] = [{}, {}, {}, {}]
  runInScope(one, first, () => expect([scopeValueOf(one), scopeValueOf(other)]).toEqual([first, second]), {
    owner: other,
    value: second,
  })
})

test('a later value of the first hides the first alone, unless both are set again', () => {
  const [one, other, third] = [{}, {}, {}]
  const inner = { owner: other, value: {} }
  const later = { owner: third, value: {} }
  runInScope(
    one,
    {},
    () => {
      const again = { owner: other, value: {} }
      runInScope(
        one,
        {},
        () => expect([scopeValueOf(other), scopeValueOf(third)]).toEqual([inner.value, later.value]),
        later,
      )
      runInScope(one, {}, () => expect(scopeValueOf(other)).toBe(inner.value))
      runInScope(one, {}, () => expect(scopeValueOf(other)).toBe(again.value), again)
    },
    inner,
  )
})

test('calls that run at the same time do not see each other', async () => {
  const owner = {}
  await Promise.all(
    [{}, {}].map((value) =>
      runInScope(owner, value, async () => {
        await pause(1)
        expect(scopeValueOf(owner)).toBe(value)
      }),
    ),
  )
})

test('a flow of control is the same object for all that it does, and another for another', async () => {
  expect(currentFlow()).toBeUndefined()
  const flows = await Promise.all(
    [1, 2].map(() =>
      runInScope({}, {}, async () => {
        const flow = currentFlow()
        await pause(0)
        expect(currentFlow()).toBe(flow)
        runInScope({}, {}, () => expect(currentFlow()).toBe(flow))
        return flow
      }),
    ),
  )
  expect(flows[0]).not.toBe(flows[1])
})

test('a block started by leftover code of a closed one has a scope of its own, and does not keep the closed one alive', async () => {
  const collected = new FinalizationRegistry<number>((run) => seen.add(run))
  const seen = new Set<number>()
  let runs = 0
  const flows = new Set<unknown>()
  await new Promise<void>((resolve) => {
    const run = (): void => {
      const [owner, value] = [{ closed: false }, { closed: false, rows: new Array<number>(1_000).fill(0) }]
      runInScope(owner, value, () => {
        flows.add(currentFlow())
        collected.register(value, ++runs)
        if (runs === 50) resolve()
        else setTimeout(run, 0)
      })
      if (runs % 2 === 0) owner.closed = true
      else value.closed = true
    }
    run()
  })
  expect(flows.size).toBe(50)
  await waitUntil(() => {
    gc?.()
    return seen.size >= 45
  })
})

test('an open block around the closed ones is found, and gives the flow', () => {
  const [outer, middle, owner] = [{}, { closed: false }, {}]
  runInScope(outer, { name: 'outer' }, () => {
    const flow = currentFlow()
    runInScope(middle, {}, () =>
      runInScope(owner, {}, () => {
        middle.closed = true
        runInScope({}, {}, () => {
          expect(scopeValueOf(outer)).toEqual({ name: 'outer' })
          expect(scopeValueOf(middle)).toBeUndefined()
          expect(scopeValueOf(owner)).toBeDefined()
          expect(currentFlow()).toBe(flow)
        })
      }),
    )
  })
})
