import { describe, expect, it } from 'vitest'
import { InvalidOptionError } from '../../src/errors.js'
import {
  checkBoolean,
  checkInteger,
  checkMillis,
  checkObject,
  checkOneOf,
  checkString,
  refuseUnknownKeys,
} from '../../src/internal/validate.js'

describe('Checks of options', () => {
  it('take a good value as it is', () => {
    expect(checkInteger('size', 3, { min: 0 })).toBe(3)
    expect(checkInteger('size', -1, { min: 0, also: [-1] })).toBe(-1)
    expect(checkMillis('time', 0.5, { min: 0 })).toBe(0.5)
    expect(checkMillis('time', null, { min: 0, also: [null] })).toBe(null)
    expect(checkMillis('time', Infinity, { min: 0, also: [Infinity] })).toBe(Infinity)
    expect(checkBoolean('flag', false)).toBe(false)
    expect(checkString('name', 'songs')).toBe('songs')
    expect(checkOneOf('mode', false, ['rollback', false])).toBe(false)
    expect(() => checkObject('options', {})).not.toThrow()
    expect(() => refuseUnknownKeys('a pool', { poolSize: 1 }, ['poolSize'])).not.toThrow()
  })

  it.each([
    [() => checkInteger('size', 1.5, { min: 0 }), 'size must be a whole number of at least 0, not 1.5'],
    [() => checkInteger('size', '5', { min: 0 }), "size must be a whole number of at least 0, not '5'"],
    [() => checkInteger('size', NaN, { min: 0 }), 'not NaN'],
    [() => checkInteger('size', Infinity, { min: 0 }), 'not Infinity'],
    [() => checkInteger('size', 1e21, { min: 0 }), 'not 1e+21'],
    [() => checkInteger('size', -2, { min: 0, also: [-1] }), 'of at least 0 or -1, not -2'],
    [() => checkInteger('port', 0, { min: 1, max: 65535 }), 'from 1 to 65535, not 0'],
    [
      () => checkMillis('time', -1, { min: 0, also: [null] }),
      'a number of milliseconds of at least 0 or null (no limit), not -1',
    ],
    [() => checkMillis('time', undefined, { min: 0 }), 'not undefined'],
    [() => checkMillis('time', null, { min: 0 }), 'not null'],
    [() => checkBoolean('flag', 'true'), "flag must be true or false, not 'true'"],
    [() => checkString('name', ''), 'name must be a string that is not empty, not an empty string'],
    [() => checkString('name', 5), 'not a number'],
    [
      () => checkOneOf('mode', 'rolback', ['rollback', false]),
      "one of 'rollback', false, not 'rolback'; did you mean 'rollback'?",
    ],
    [() => checkOneOf('mode', 5, ['rollback', false]), "one of 'rollback', false, not 5"],
    [() => checkObject('options', null), 'options must be an object, not null'],
    [() => checkObject('options', []), 'options must be an object, not an array'],
    [() => checkObject('options', 'url'), "options must be an object, not 'url'"],
    [
      () => refuseUnknownKeys('a pool', { poolsize: 1 }, ['poolSize']),
      "a pool has no option 'poolsize'; did you mean 'poolSize'?",
    ],
    [() => refuseUnknownKeys('a pool', { wat: 1 }, ['poolSize']), "a pool has no option 'wat'"],
  ])('refuse %s', (check, message) => {
    expect(check).toThrow(InvalidOptionError)
    expect(check).toThrow(message)
  })

  it('never print a value that could be a secret', () => {
    const secret = 'correct horse battery staple'
    for (const value of [secret, { secret }, [secret]]) {
      try {
        checkInteger('poolSize', value, { min: 0 })
        expect.unreachable()
      } catch (error) {
        expect((error as Error).message).not.toContain('horse')
        expect(error).toMatchObject({ option: 'poolSize', code: 'INVALID_OPTION' })
      }
    }
  })
})
