/** Who has PGlite's one session, with a database that only counts what it is given. */
import { expect, test } from 'vitest'
import { PgliteBackend, type BackendUser, type PgliteLike } from '../../../src/integrations/pglite/backend.js'
import { messagesOf, query, withPrefix } from '../../../src/integrations/pglite/messages.js'

const [IDLE, IN_TRANSACTION] = ['I', 'T']

/** Answers each batch with ReadyForQuery in the state that its text names. */
function fakeDatabase(): PgliteLike & { readonly ran: string[] } {
  const ran: string[] = []
  return {
    ran,
    execProtocolRaw: (message) => {
      const text = Buffer.from(message).toString('utf8', 5, message.length - 1)
      ran.push(text)
      return Promise.resolve(ready(text.startsWith('begin') ? IN_TRANSACTION : IDLE))
    },
    runExclusive: (work) => work(),
  }
}

function ready(state: string): Buffer {
  return Buffer.concat([Buffer.from([0x5a, 0, 0, 0, 5]), Buffer.from(state)])
}

class User implements BackendUser {
  readonly prefix = ''
  readonly received: string[] = []

  receive(messages: Uint8Array): void {
    for (const { type, bytes } of messagesOf(messages))
      this.received.push(`${String.fromCharCode(type)} ${bytes.toString('utf8', 5)}`)
  }
}

async function joined(backend: PgliteBackend): Promise<User> {
  const user = new User()
  await backend.join(user, query('startup'), [])
  user.received.length = 0
  return user
}

test('a user that waits too long for the transaction of another is told so, and may try again', async () => {
  const database = fakeDatabase()
  const backend = new PgliteBackend(database, 1)
  const [one, other] = [await joined(backend), await joined(backend)]
  await backend.exchange(one, query('begin'))
  await backend.exchange(other, query('refused'))
  expect(other.received[0]).toContain('C55P03')
  expect(other.received[0]).toContain('PGlite runs one transaction at a time')
  expect(other.received[1]).toBe('Z I')
  expect(await backend.join(new User(), query('late'), [])).toBe(false)
  await backend.exchange(one, query('commit'))
  await backend.exchange(other, query('again'))
  expect(other.received.slice(2)).toEqual(['Z I'])
  expect(database.ran).not.toContain('refused')
  expect(database.ran).not.toContain('late')
})

test('the next user has the session as soon as it is free: no other comes in between', async () => {
  const database = fakeDatabase()
  const backend = new PgliteBackend(database)
  const [one, next, third] = [await joined(backend), await joined(backend), await joined(backend)]
  await backend.exchange(one, query('begin 1'))
  const waiting = backend.exchange(next, query('begin 2'))
  const committed = backend
    .exchange(one, query('commit 1'))
    .then(() => backend.exchange(third, query('begin 3')))
  await waiting
  await backend.exchange(next, query('commit 2'))
  await committed
  expect(database.ran.filter((text) => /\d/.test(text))).toEqual([
    'begin 1',
    'commit 1',
    'begin 2',
    'commit 2',
    'begin 3',
  ])
})

test('a user that leaves while another one has the session ends no transaction of it', async () => {
  const database = fakeDatabase()
  const backend = new PgliteBackend(database)
  const [one, other] = [await joined(backend), await joined(backend)]
  await backend.exchange(one, query('begin'))
  const leaving = backend.leave(other)
  await backend.exchange(one, query('commit'))
  await leaving
  expect(database.ran.slice(2)).toEqual(['begin', 'commit', 'ROLLBACK'])
})

test('a prefix is put before the name of a prepared statement, and before no other name', () => {
  const framed = (type: string, body: string): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(body.length + 4)
    return Buffer.concat([Buffer.from(type), length, Buffer.from(body)])
  }
  const prefixed = (type: string, body: string): string => {
    const [message] = messagesOf(framed(type, body))
    if (message === undefined) throw new Error('no message')
    const [changed] = messagesOf(withPrefix(message, 'c1_'))
    return changed?.bytes.toString('utf8', 5) ?? ''
  }
  expect(prefixed('P', 'name\0select 1\0\0\0')).toBe('c1_name\0select 1\0\0\0')
  expect(prefixed('P', '\0select 1\0\0\0')).toBe('\0select 1\0\0\0')
  expect(prefixed('B', 'portal\0name\0\0\0')).toBe('portal\0c1_name\0\0\0')
  expect(prefixed('B', '\0\0\0\0')).toBe('\0\0\0\0')
  expect(prefixed('D', 'Sname\0')).toBe('Sc1_name\0')
  expect(prefixed('D', 'Pportal\0')).toBe('Pportal\0')
  expect(prefixed('C', 'Sname\0')).toBe('Sc1_name\0')
  expect(prefixed('E', 'portal\0\0\0\0\0')).toBe('portal\0\0\0\0\0')
})
