import { expect, test } from 'vitest'
import { createEngine, createSessionFactory, InvalidOptionError } from '../../../src/index.js'

const engine = createEngine({ url: 'postgres://me@db/songs' })

const { proxy: revoked, revoke } = Proxy.revocable<unknown[]>([], {})
revoke()

test.each<[object, string, string]>([
  [{ bind: engine, consistency: 'session' }, 'consistency', 'needs replicas'],
  [{ bind: engine, staleWaitMillis: 5 }, 'staleWaitMillis', 'needs replicas'],
  [{ bind: { write: engine } }, 'bind.read', 'bind.read must be an engine'],
  [{ bind: { write: engine, read: [] } }, 'bind.read', 'bind.read must be an engine'],
  [{ bind: { write: engine, read: [engine, 5] } }, 'bind.read', 'bind.read must be an engine'],
  [{ bind: { write: engine, read: new Array(2) } }, 'bind.read', 'bind.read must be an engine'],
  [{ bind: { write: engine, read: revoked } }, 'bind.read', 'bind.read must be an engine'],
  [{ bind: { write: 5, read: engine } }, 'bind.write', 'bind.write must be an engine'],
  [{ bind: { read: engine } }, 'bind', 'bind must be an engine'],
  [{ bind: { write: engine, read: engine, reads: 1 } }, 'reads', "did you mean 'read'"],
  [{ bind: null }, 'bind', 'bind must be an engine'],
  [{ bind: { write: engine, read: engine }, consistency: 'weak' }, 'consistency', 'eventual'],
  [{ bind: { write: engine, read: engine }, staleWaitMillis: -1 }, 'staleWaitMillis', 'at least 0'],
  [{ bind: { write: engine, read: engine }, after: 'x' }, 'after', "no option 'after'"],
])('%# is refused', (options, option, message) => {
  const failure = ((): unknown => {
    try {
      return createSessionFactory(options as never)
    } catch (error) {
      return error
    }
  })()
  expect(failure).toBeInstanceOf(InvalidOptionError)
  expect((failure as InvalidOptionError).option).toBe(option)
  expect((failure as InvalidOptionError).message).toContain(message)
})

test('the token must be a string', async () => {
  const { withSession } = createSessionFactory({ bind: { write: engine, read: engine } })
  await expect(withSession(() => undefined, { after: 5 as never })).rejects.toThrow(
    'after must be a causalityToken',
  )
})
