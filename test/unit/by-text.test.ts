/** What is found out about a text is kept, within bounds. */
import { expect, test } from 'vitest'
import { rememberedByText } from '../../src/internal/by-text.js'

function counted(): { readonly lengthOf: (text: string) => number; readonly looks: string[] } {
  const looks: string[] = []
  const lengthOf = rememberedByText((text) => {
    looks.push(text.slice(0, 9))
    return text.length
  })
  return { lengthOf, looks }
}

test('a text is looked at once', () => {
  const { lengthOf, looks } = counted()
  expect(['a', 'bb', 'a', 'bb', ''].map(lengthOf)).toEqual([1, 2, 1, 2, 0])
  lengthOf('')
  expect(looks).toEqual(['a', 'bb', ''])
})

test('a long text is looked at each time, and not kept', () => {
  const { lengthOf, looks } = counted()
  const long = 'x'.repeat(4_001)
  expect([lengthOf(long), lengthOf(long)]).toEqual([4_001, 4_001])
  expect(looks).toHaveLength(2)
})

test('no more than 500 texts are kept', () => {
  const { lengthOf, looks } = counted()
  for (let n = 0; n < 501; n++) lengthOf(`text ${n}`)
  expect(lengthOf('text 0')).toBe(6)
  expect(looks).toHaveLength(502)
})
