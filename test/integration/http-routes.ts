/** What the services of all frameworks do in the tests of sessions of requests: the same routes, said without a framework. */
import { Readable } from 'node:stream'
import type { Session, SessionFactory } from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'

/** What a handler answers. */
export interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly stream?: Readable
}

/** What a handler sees of its request. */
export interface Exchange {
  /** The session of the request, by the framework's own object. */
  session(): Session
  readonly factory: SessionFactory
  readonly text: string
}

export type Handler = (exchange: Exchange) => Promise<Answer> | Answer

/** What the tests control and see of handlers that are running. */
export class Stage {
  readonly opened = new Set<string>()
  readonly reached: string[] = []
  readonly errors: unknown[] = []

  /** A handler has come so far, and waits until `open` is called. */
  async gate(name: string): Promise<void> {
    this.reached.push(name)
    await waitUntil(() => this.opened.has(name), { message: `the gate ${name}` })
  }

  open(name: string): void {
    this.opened.add(name)
  }

  arrived(name: string, times = 1): Promise<unknown> {
    const count = (): number => this.reached.filter((at) => at === name).length
    return waitUntil(() => count() >= times, { message: () => `${times} at ${name}; there are ${count()}` })
  }
}

const INSERT = 'insert into notes (text) values ($1)'

/** The routes: `POST /name?text=...`. */
export function routesOf(stage: Stage): Readonly<Record<string, Handler>> {
  const add = ({ session, text }: Exchange, suffix = ''): Promise<unknown> =>
    session().execute(INSERT, [text + suffix])
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    await work().catch((error: unknown) => stage.errors.push(error))
  }
  return {
    add: async (exchange) => {
      await add(exchange)
      return { status: 201, body: { text: exchange.text } }
    },
    nothing: () => ({ status: 200, body: {} }),
    throws: async (exchange) => {
      await add(exchange)
      throw new Error('the handler failed')
    },
    throwsString: async (exchange) => {
      await add(exchange)
      const reason: unknown = 'a string'
      return await Promise.reject<Answer>(reason)
    },
    conflict: async (exchange) => {
      await add(exchange)
      return { status: 409, body: { error: 'said by hand' } }
    },
    redirect: async (exchange) => {
      await add(exchange)
      return { status: 302, body: {} }
    },
    unique: async (exchange) => {
      await add(exchange)
      await add(exchange)
      return { status: 201, body: {} }
    },
    // Checked at COMMIT: the handler knows nothing of it.
    late: async ({ session, text }) => {
      await session().execute('insert into late (text) values ($1), ($1)', [text])
      return { status: 201, body: { stored: true } }
    },
    missing: async ({ session }) => {
      const result = await session().execute('select 1 where false')
      return { status: 200, body: result.one() }
    },
    unawaited: async (exchange) => {
      await add(exchange)
      void exchange
        .session()
        .execute('select pg_sleep(0.01)')
        .catch(() => undefined)
      return { status: 200, body: {} }
    },
    slow: async (exchange) => {
      await add(exchange)
      stage.reached.push('slow')
      await attempt(() => exchange.session().execute('select pg_sleep(300)'))
      await attempt(() => add(exchange, ' after'))
      stage.reached.push('slow ended')
      return { status: 200, body: {} }
    },
    waits: async (exchange) => {
      await add(exchange)
      await stage.gate('waits')
      await attempt(() => add(exchange, ' after'))
      stage.reached.push('waits ended')
      return { status: 200, body: {} }
    },
    holds: async (exchange) => {
      await add(exchange)
      await stage.gate('holds')
      return { status: 201, body: {} }
    },
    times: async (exchange) => {
      await add(exchange)
      await exchange.session().execute("set local statement_timeout = '20ms'")
      await exchange.session().execute('select pg_sleep(300)')
      return { status: 200, body: {} }
    },
    joins: async (exchange) => {
      await add(exchange, ' outer')
      const { factory, text } = exchange
      const joined = await factory.withSession(
        async (session) => {
          await session.execute(INSERT, [text])
          return session === exchange.session()
        },
        { propagation: 'required' },
      )
      return { status: 200, body: { joined, current: factory.current() === exchange.session() } }
    },
    streams: async (exchange) => {
      await add(exchange)
      return { status: 200, stream: Readable.from(['one ', 'two ', 'three']) }
    },
    // A body that reads rows has a session of its own.
    streamsRows: async (exchange) => {
      await add(exchange)
      const { factory } = exchange
      async function* rows(): AsyncGenerator<string> {
        await using session = factory()
        for await (const { n } of session.stream<{ n: number }>('select n from generate_series(1, 1500) n'))
          yield `${n}\n`
      }
      return { status: 200, stream: Readable.from(rows()) }
    },
    // Goes on until the test lets it end.
    streamsOn: async (exchange) => {
      await add(exchange)
      async function* parts(): AsyncGenerator<string> {
        yield 'begun '
        await stage.gate('streams on')
        yield 'ended'
      }
      return { status: 200, stream: Readable.from(parts()) }
    },
    // Reads the session of the request when the answer has begun.
    streamsSession: async (exchange) => {
      await add(exchange)
      const session = exchange.session()
      async function* rows(): AsyncGenerator<string> {
        yield 'begun '
        await attempt(() => session.execute('select 1'))
        yield 'ended'
      }
      return { status: 200, stream: Readable.from(rows()) }
    },
  }
}
