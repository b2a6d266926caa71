import { describe, expect, it } from 'vitest'
import type { ConnectionRecord } from '../../../src/pool/record.js'
import { Slots } from '../../../src/pool/slots.js'

/** Slots of which so many are idle, released in that order, the first one the coldest. */
function idleSlots(lifo: boolean, count: number): { slots: Slots; records: ConnectionRecord[] } {
  const slots = new Slots(lifo)
  const records = Array.from({ length: count }, () => slots.create())
  for (const [index, record] of records.entries()) {
    record.idleSince = index
    slots.put(record)
  }
  return { slots, records }
}

function takeAll(slots: Slots): ConnectionRecord[] {
  const taken: ConnectionRecord[] = []
  for (let record = slots.take(); record !== undefined; record = slots.take()) taken.push(record)
  return taken
}

describe.each([
  ['lifo', true],
  ['fifo', false],
])('Slots, %s', (_, lifo) => {
  it('are made at once and counted until they are removed', () => {
    const { slots, records } = idleSlots(lifo, 3)
    expect([slots.size, slots.idle]).toEqual([3, 3])
    const taken = slots.take() as ConnectionRecord
    expect([slots.size, slots.idle]).toEqual([3, 2])
    slots.remove(taken)
    expect([slots.size, slots.idle]).toEqual([2, 2])
    expect([...slots.all()]).toEqual(records.filter((record) => record !== taken))
  })

  it('are lent in order', () => {
    const { slots, records } = idleSlots(lifo, 4)
    expect(takeAll(slots)).toEqual(lifo ? [...records].reverse() : records)
    expect(slots.take()).toBeUndefined()
  })

  it('keep their order when one is made although others are idle', () => {
    const { slots, records } = idleSlots(lifo, 4)
    const made = slots.create()
    expect(records).not.toContain(made)
    expect(slots.size).toBe(5)
    expect(takeAll(slots)).toEqual(lifo ? [...records].reverse() : records)
  })

  it('are offered coldest first when one is chosen, and keep their order', () => {
    const { slots, records } = idleSlots(lifo, 5)
    const asked: ConnectionRecord[] = []
    const taken = slots.takeIf((record) => {
      asked.push(record)
      return record === records[1] || record === records[4]
    })
    expect(asked).toEqual(records)
    expect(taken).toEqual([records[1], records[4]])
    const left = [records[0], records[2], records[3]]
    expect(takeAll(slots)).toEqual(lifo ? left.reverse() : left)
  })
})

describe('Slots, lifo', () => {
  it('puts a cold connection, which was only probed, back below the hot ones', () => {
    const { slots, records } = idleSlots(true, 3)
    const [cold] = slots.takeIf((record) => record === records[0])
    slots.put(cold as ConnectionRecord)
    expect(takeAll(slots)).toEqual([records[2], records[1], records[0]])
  })
})
