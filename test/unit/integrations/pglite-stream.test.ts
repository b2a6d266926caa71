/** The stream to PGlite hands on every message once, also around a COPY that it refuses, and however the bytes are cut. */
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { PgliteBackend, type PgliteLike } from '../../../src/integrations/pglite/backend.js'
import { messagesOf, query, queryText, QUERY } from '../../../src/integrations/pglite/messages.js'
import { PgliteStream } from '../../../src/integrations/pglite/stream.js'

const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])
/** The first message of a connection: its length, version 3.0, a user, the end. */
const STARTUP = Buffer.concat([Buffer.from([0, 0, 0, 16, 0, 3, 0, 0]), Buffer.from('user\0a\0\0')])

/** The statements that PGlite gets from a connection which writes these chunks. */
async function statementsOf(chunks: readonly Buffer[]): Promise<string[]> {
  const got: string[] = []
  const database: PgliteLike = {
    execProtocolRaw: (bytes) => {
      // The startup message, which has no type, is not one of them.
      if (bytes[0] !== 0)
        for (const message of messagesOf(bytes)) if (message.type === QUERY) got.push(queryText(message))
      return Promise.resolve(READY)
    },
    runExclusive: (work) => work(),
  }
  const stream = new PgliteStream(new PgliteBackend(database))
  stream.resume()
  for (const chunk of [STARTUP, ...chunks])
    await new Promise<void>((done, failed) => {
      stream.write(chunk, (error) => (error ? failed(error) : done()))
    })
  const seen = [...got]
  stream.destroy()
  await once(stream, 'close')
  return seen
}

const REFUSED = expect.stringContaining('PGlite cannot do COPY FROM STDIN') as string

test.each([
  ['shorter than what is run instead', 'copy t from stdin'],
  ['longer', `copy t (${'a_column, '.repeat(100)}b) from stdin`],
])('a refused COPY, %s, loses no statement after it', async (_name, copy) => {
  const statements = ["select 'first'", copy, "select 'between'", copy, "select 'after'", "select 'last'"]
  const expected = ["select 'first'", REFUSED, "select 'between'", REFUSED, "select 'after'", "select 'last'"]
  const bytes = Buffer.concat(statements.map(query))
  expect(await statementsOf([bytes])).toEqual(expected)
  for (let cut = 1; cut < bytes.length; cut++)
    expect(await statementsOf([bytes.subarray(0, cut), bytes.subarray(cut)]), String(cut)).toEqual(expected)
})
