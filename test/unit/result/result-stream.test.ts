import { expect, test } from 'vitest'
import { ResultStream, type RowSource } from '../../../src/result/result-stream.js'

/** A source of the pages, that counts. */
function sourceOf(pages: readonly (readonly number[] | Error)[]): RowSource<number> & {
  fetched: number
  closed: number
} {
  return {
    fetched: 0,
    closed: 0,
    next() {
      const page = pages[this.fetched++] ?? []
      return page instanceof Error ? Promise.reject(page) : Promise.resolve(page)
    },
    close() {
      this.closed++
    },
  }
}

async function read<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

test('rows come one by one, pages at once', async () => {
  expect(await read(new ResultStream(sourceOf([[1, 2], [3]])))).toEqual([1, 2, 3])
  expect(await read(new ResultStream(sourceOf([[1, 2], [3]])).pages())).toEqual([[1, 2], [3]])
})

test('nothing is fetched before it is read, and the next page not before the last one is used up', async () => {
  const source = sourceOf([[1, 2], [3]])
  const stream = new ResultStream(source)
  expect(source.fetched).toBe(0)
  const rows = stream[Symbol.asyncIterator]()
  await rows.next()
  await rows.next()
  expect(source.fetched).toBe(1)
  await rows.next()
  expect(source.fetched).toBe(2)
})

test('the end, a break, a throw in the loop, and a failing page each close the source, once', async () => {
  const whole = sourceOf([[1]])
  await read(new ResultStream(whole))

  const left = sourceOf([[1, 2], [3]])
  for await (const _row of new ResultStream(left)) break

  const thrown = sourceOf([[1, 2], [3]])
  await expect(
    (async () => {
      for await (const _row of new ResultStream(thrown)) throw new Error('enough')
    })(),
  ).rejects.toThrow('enough')

  const failing = sourceOf([[1], new Error('lost')])
  await expect(read(new ResultStream(failing))).rejects.toThrow('lost')

  expect([whole, left, thrown, failing].map(({ closed }) => closed)).toEqual([1, 1, 1, 1])
})

test('a closed stream ends, and fetches nothing', async () => {
  const source = sourceOf([[1], [2]])
  const stream = new ResultStream(source)
  stream.close()
  stream.close()
  expect(await read(stream)).toEqual([])
  expect([source.fetched, source.closed]).toEqual([0, 1])
})

test('await using closes it', async () => {
  const source = sourceOf([[1], [2]])
  {
    await using stream = new ResultStream(source)
    await stream[Symbol.asyncIterator]().next()
  }
  expect(source.closed).toBe(1)
})

test('a stream that is closed while it is read ends after the page it has', async () => {
  const stream = new ResultStream(sourceOf([[1, 2], [3]]))
  const seen: number[] = []
  for await (const row of stream) {
    seen.push(row)
    stream.close()
  }
  expect(seen).toEqual([1, 2])
})
