import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ambientFlow, ambientOf, runAmbient } from '../../src/internal/async-scope.js'
import { waitUntil } from '../helpers/wait-until.js'

test('within the call, and whatever it starts, the value of the owner is known', async () => {
  const [owner, value] = [{}, {}]
  expect(ambientOf(owner)).toBeUndefined()
  await runAmbient(owner, value, async () => {
    expect(ambientOf(owner)).toBe(value)
    await pause(0)
    expect(ambientOf(owner)).toBe(value)
    expect(ambientOf({})).toBeUndefined()
  })
  expect(ambientOf(owner)).toBeUndefined()
})

test('the innermost value counts, and each owner has its own', () => {
  const [one, other] = [{}, {}]
  const [first, second, third] = [{}, {}, {}]
  runAmbient(one, first, () =>
    runAmbient(other, second, () => {
      runAmbient(one, third, () => expect([ambientOf(one), ambientOf(other)]).toEqual([third, second]))
      expect(ambientOf(one)).toBe(first)
    }),
  )
})

test('one call may set two, the second inside the first', () => {
  const [one, other, first, second] = [{}, {}, {}, {}]
  runAmbient(one, first, () => expect([ambientOf(one), ambientOf(other)]).toEqual([first, second]), {
    owner: other,
    value: second,
  })
})

test('calls that run at the same time do not see each other', async () => {
  const owner = {}
  await Promise.all(
    [{}, {}].map((value) =>
      runAmbient(owner, value, async () => {
        await pause(1)
        expect(ambientOf(owner)).toBe(value)
      }),
    ),
  )
})

test('a flow of control is the same object for all that it does, and another for another', async () => {
  expect(ambientFlow()).toBeUndefined()
  const flows = await Promise.all(
    [1, 2].map(() =>
      runAmbient({}, {}, async () => {
        const flow = ambientFlow()
        await pause(0)
        expect(ambientFlow()).toBe(flow)
        runAmbient({}, {}, () => expect(ambientFlow()).toBe(flow))
        return flow
      }),
    ),
  )
  expect(flows[0]).not.toBe(flows[1])
})

test('a block that is started by what a closed one has left is another flow, and does not keep that one alive', async () => {
  const collected = new FinalizationRegistry<number>((run) => seen.add(run))
  const seen = new Set<number>()
  let runs = 0
  const flows = new Set<unknown>()
  await new Promise<void>((resolve) => {
    const run = (): void => {
      const [owner, value] = [{ closed: false }, { closed: false, rows: new Array<number>(1_000).fill(0) }]
      runAmbient(owner, value, () => {
        flows.add(ambientFlow())
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
  runAmbient(outer, { name: 'outer' }, () => {
    const flow = ambientFlow()
    runAmbient(middle, {}, () =>
      runAmbient(owner, {}, () => {
        middle.closed = true
        runAmbient({}, {}, () => {
          expect(ambientOf(outer)).toEqual({ name: 'outer' })
          expect(ambientOf(middle)).toBeUndefined()
          expect(ambientOf(owner)).toBeDefined()
          expect(ambientFlow()).toBe(flow)
        })
      }),
    )
  })
})
