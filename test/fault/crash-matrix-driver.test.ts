import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BatchStatement } from '../../src/driver/driver.js'
import { createPgDriver } from '../../src/driver/pg-driver.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import type { Sender } from '../helpers/proxied-connection.js'
import { startProxy } from '../helpers/proxy.js'

guardLeaks()
let db: TestDatabase

beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

const TEXTS = ['select 1', 'select 1 / 0', 'select 2', 'selec 3', 'select 4']

test.each([
  ['separate', 'client'],
  ['separate', 'server'],
  ['shared', 'client'],
  ['shared', 'server'],
] as const)(
  'every statement of a batch (%s) settles exactly once, wherever among the messages of the %s it is cut',
  async (sync, from: Sender) => {
    for (let nth = 1, fired = true; fired; nth++) {
      using proxy = await startProxy(db.url)
      const driver = createPgDriver({ url: proxy.url, types: undefined, statementCacheSize: 10 })
      const connection = await driver.connect({ timeoutMillis: 5000 })
      let seen = 0
      fired = false
      void proxy.cutAt({ from, when: 'after', message: () => (fired = ++seen === nth) })

      const settled = TEXTS.map(() => 0)
      let ends = 0
      const statements = TEXTS.map((text, index): BatchStatement => {
        const count = (): void => void (settled[index] = (settled[index] ?? 0) + 1)
        return { text, onResult: count, onError: count }
      })
      await new Promise<void>((resolve) => {
        const onEnd = (): void => {
          ends++
          resolve()
        }
        connection.submit({ statements, sync, onEnd })
      })
      await connection.close(1000)
      expect(settled, `cut at message ${String(nth)}`).toEqual(TEXTS.map(() => 1))
      expect(ends).toBe(1)
      if (!fired) expect(nth).toBeGreaterThan(5)
    }
  },
)
