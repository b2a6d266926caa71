/** What the tests of sessions of requests share: the table of their routes, and services that end with their test. */
import { afterEach } from 'vitest'
import type { Service } from './http-servers.js'
import { useDatabase, type Fixture } from './session-support.js'

export interface Notes {
  readonly fixture: Fixture
  /** Add what is started: it is closed after the test. */
  readonly services: Service[]
  /** The stored notes, in order. */
  stored(this: void): Promise<string[]>
}

/** Call it at the top of a test file. @param schema Statements that make more tables. */
export function useNotes(...schema: readonly string[]): Notes {
  // Services are closed before the leak guard looks for sockets: hooks of this kind run in reverse.
  const fixture = useDatabase('create table notes (text text primary key)', ...schema)
  const services: Service[] = []
  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.close()))
  })
  const stored = async (): Promise<string[]> => {
    const rows = await fixture.db.query<{ text: string }>('select text from notes order by 1')
    return rows.map(({ text }) => text)
  }
  return { fixture, services, stored }
}
