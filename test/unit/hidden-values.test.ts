import { describe, expect, test } from 'vitest'
import { hideValues, type ServerTexts } from '../../src/internal/hidden-values.js'

function hidden(texts: ServerTexts, values: readonly string[], ...statements: string[]): ServerTexts {
  hideValues(texts, { values, statements })
  return texts
}

const messageOf = (message: string, values: readonly string[], ...statements: string[]): string | undefined =>
  hidden({ message }, values, ...statements).message

describe('a text of the server', () => {
  test.each([
    ['relation "s3cret" does not exist', 'relation "(hidden)" does not exist'],
    ['Relation »s3cret« existiert nicht', 'Relation »(hidden)« existiert nicht'],
    ['la relation « s3cret » n’existe pas', 'la relation « (hidden) » n’existe pas'],
    ['отношение "s3cret" не существует', 'отношение "(hidden)" не существует'],
    ['リレーション"s3cret"は存在しません', 'リレーション"(hidden)"は存在しません'],
    ['user S3CRET', 'user (hidden)'],
    ['tables_s3cret_1 is gone', 'tables_(hidden)_1 is gone'],
  ])('loses a value, whatever the language: %s', (message, expected) => {
    expect(messageOf(message, ['s3cret'])).toBe(expected)
  })

  test('loses short values where they are words, and stays as it is elsewhere', () => {
    expect(messageOf('value 1 of table1 is 1.', ['1'])).toBe('value (hidden) of table1 is (hidden).')
    expect(messageOf('Key (id)=(7) is 77', ['7'])).toBe('Key (id)=((hidden)) is 77')
    expect(messageOf('relation "ab" and abc', ['ab'])).toBe('relation "(hidden)" and abc')
    expect(messageOf('nothing of it', [''])).toBe('nothing of it')
  })

  test('loses parts of a value: elements, names, what was cut off', () => {
    expect(messageOf('"ann" is no number', ['{1,ann}'])).toBe('"(hidden)" is no number')
    expect(messageOf('schema "crm" does not exist', ['crm.users'])).toBe('schema "(hidden)" does not exist')
    expect(messageOf('JSON data: {"a": "secre...', ['{"a": "secrecy"}'])).toBe('JSON data: (hidden)...')
  })

  test('keeps parts of a value that the statement has as well, but no value', () => {
    expect(messageOf('column "nick" of "users"', ['the nick of all'], 'select nick from users')).toBe(
      'column "nick" of "users"',
    )
    expect(messageOf('column "nick"', ['nick'], 'select nick')).toBe('column "(hidden)"')
    // A placeholder is no part of the statement that anybody has written as a value.
    expect(messageOf('"1" is no number', ['{1}'], 'select $1')).toBe('"(hidden)" is no number')
  })

  test('is searched in every field; detail goes', () => {
    const where = 'SQL statement "select s3cret"'
    const texts = {
      message: 'm',
      hint: 'try s3cret',
      where,
      internalQuery: 'select s3cret',
      detail: 's3cret',
    }
    expect(hidden(texts, ['s3cret'])).toEqual({
      message: 'm',
      hint: 'try (hidden)',
      where: 'SQL statement "select (hidden)"',
      internalQuery: 'select (hidden)',
      detail: undefined,
    })
  })

  test('of class 22 loses what it quotes, whatever was sent', () => {
    const message = 'invalid input syntax for type integer: "00s"'
    expect(hidden({ message, code: '22P02' }, ['x']).message).toBe(
      'invalid input syntax for type integer: "(hidden)"',
    )
  })

  test('loses everything in quotes if it is not known what was sent', () => {
    const texts = { message: 'type "a" and "b"', where: 'COPY t, line 1: "s3cret"' }
    hideValues(texts, undefined)
    expect(texts).toMatchObject({ message: 'type "(hidden)"', where: 'COPY t, line 1: "(hidden)"' })
  })

  test('is not shown by the stack of its error', () => {
    const error = new Error('not s3cret')
    hideValues(error, { values: ['s3cret'], statements: [] })
    expect(error.stack).not.toContain('s3cret')
    expect(error.stack).toContain('not (hidden)')
  })
})
