/** Texts that are written to a COPY are stored as they are, or refused. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { InvalidStatementError } from '../../src/errors.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text)')

beforeEach(() => fixture.db.query('truncate notes'))

const FROM = 'copy notes from stdin'
const HALF = '\ud83d'
const OTHER_HALF = '\ude00'

const stored = async (): Promise<unknown[]> =>
  (await fixture.db.query<{ text: string }>('select text from notes')).map(({ text }) => text)

describe('half a character is refused', () => {
  test.each<[what: string, chunks: string[]]>([
    ['in the only text', [`a${HALF}b\n`]],
    ['in a later text', ['whole\n', `${OTHER_HALF}b\n`]],
    ['at the end of a text that the next one goes on with', [`a${HALF}`, `${OTHER_HALF}b\n`]],
  ])('%s', async (_what, chunks) => {
    const { withSession } = fixture.factory()
    const errors: unknown[] = []
    const ending = errorOf(
      withSession(async (session) => {
        const stream = await session.copyFrom(FROM)
        errors.push(await errorOf(pipeline(Readable.from(chunks), stream)))
        throw errors[0]
      }),
    )
    expect(await ending).toBeInstanceOf(InvalidStatementError)
    expect(errors[0]).toMatchObject({
      code: 'INVALID_STATEMENT',
      message:
        'The text of a COPY holds half a character (a lone surrogate), or a character was cut into two writes',
    })
    expect(await stored()).toEqual([])
    // The connection is in order.
    expect(await withSession((session) => session.scalar('select 1'))).toBe(1)
  })

  test('in end(), and in autocommit mode', async () => {
    await using session = fixture.factory({}, { autocommit: true })()
    const stream = await session.copyFrom(FROM)
    const ending = errorOf(pipeline(Readable.from([]), stream))
    stream.end(`${HALF}\n`)
    await ending
    expect(await stored()).toEqual([])
  })

  test('in the statement itself', async () => {
    const { withSession } = fixture.factory()
    for (const text of [`copy notes from stdin (null '${HALF}')`, "copy notes from stdin (null '\0')"]) {
      const error = await errorOf(withSession((session) => session.copyFrom(text)))
      expect(error).toMatchObject({
        code: 'INVALID_STATEMENT',
        message: expect.stringContaining('COPY') as unknown,
      })
    }
    expect(
      await errorOf(withSession((session) => session.copyTo(`copy (select '${HALF}') to stdout`))),
    ).toBeInstanceOf(InvalidStatementError)
  })
})

test('whole characters, bytes and other encodings are stored as they are', async () => {
  await fixture.factory().withSession(async (session) => {
    const stream = await session.copyFrom(FROM)
    stream.write('\u{1f600}\n')
    stream.write(Buffer.from('bytes\n'))
    stream.write('6865780a', 'hex')
    stream.write('dGV4dAo=', 'base64')
    stream.setDefaultEncoding('latin1')
    stream.write('latin\n')
    await new Promise((resolve) => stream.end(resolve))
  })
  expect(await stored()).toEqual(['\u{1f600}', 'bytes', 'hex', 'text', 'latin'])
})
