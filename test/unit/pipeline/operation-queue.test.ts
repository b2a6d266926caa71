/** The queue against an array, whatever is done to it. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Operation } from '../../../src/pipeline/operation.js'
import { OperationQueue } from '../../../src/pipeline/operation-queue.js'
import { operationOf } from './operations.js'

test('is a list, first in first out, that can be put back, taken from and emptied', () => {
  const steps = fc.array(
    fc.record({
      what: fc.constantFrom(
        'push',
        'push',
        'push',
        'shift',
        'putBack',
        'remove',
        'removeStranger',
        'takeAll',
      ),
      where: fc.nat(5),
    }),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(steps, (several) => {
      const queue = new OperationQueue()
      const model: Operation[] = []
      for (const { what, where } of several) {
        const made = [operationOf('read'), operationOf('write')]
        if (what === 'push') {
          queue.push(made[0] as Operation)
          model.push(made[0] as Operation)
        } else if (what === 'shift') {
          expect(queue.shift()).toBe(model.shift())
        } else if (what === 'putBack') {
          queue.putBack(made.slice(0, where % 3))
          model.unshift(...made.slice(0, where % 3))
        } else if (what === 'remove') {
          const chosen = model[where]
          expect(chosen === undefined || queue.remove(chosen)).toBe(true)
          if (chosen !== undefined) model.splice(where, 1)
          expect(chosen?.next).toBeUndefined()
        } else if (what === 'removeStranger') {
          expect(queue.remove(made[0] as Operation)).toBe(false)
        } else {
          expect(queue.takeAll()).toEqual(model.splice(0))
        }
        const queued = [...queue]
        expect(queued).toHaveLength(model.length)
        for (const [index, operation] of queued.entries()) expect(operation).toBe(model[index])
        expect([queue.first, queue.isEmpty]).toEqual([model[0], model.length === 0])
      }
    }),
  )
})

test('the COMMIT at the end is made once: by its batch, or by the operation behind it; unless it is withdrawn', () => {
  const queue = new OperationQueue()
  const [read, write, commit] = [operationOf('read'), operationOf('write'), operationOf('commit')]
  let made = 0
  const end = {
    queued: (): Operation => {
      made++
      return commit
    },
  }
  queue.push(read)
  queue.endWith(end)
  expect([...queue]).toEqual([read])
  queue.push(write)
  expect(queue.takeAll()).toEqual([read, commit, write])
  queue.makeEnd()
  expect([made, queue.isEmpty]).toEqual([1, true])
  queue.push(read)
  queue.endWith(end)
  queue.makeEnd()
  expect([made, queue.takeAll()]).toEqual([2, [read, commit]])
  queue.endWith(end)
  queue.endWith(undefined)
  queue.makeEnd()
  expect([made, queue.isEmpty]).toEqual([2, true])
})
