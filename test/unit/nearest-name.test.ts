import { describe, expect, test } from 'vitest'
import { nearestName } from '../../src/internal/nearest-name.js'

const OPTIONS = ['poolSize', 'maxOverflow', 'poolTimeoutMillis', 'url', 'echo']

describe('the nearest name', () => {
  test.each([
    ['poolsize', 'poolSize'],
    ['pool_size', 'poolSize'],
    ['maxOverFlows', 'maxOverflow'],
    ['poolTimeout', 'poolTimeoutMillis'],
    ['poo', undefined],
    ['poolTimeoutMilis', 'poolTimeoutMillis'],
    ['uri', 'url'],
    ['autocommit', undefined],
    ['', undefined],
  ])('to %j is %j', (name, nearest) => {
    expect(nearestName(name, OPTIONS)).toBe(nearest)
  })

  test('is the first of those that are equally near', () => {
    expect(nearestName('ab', ['abc', 'abd'])).toBe('abc')
  })
})
