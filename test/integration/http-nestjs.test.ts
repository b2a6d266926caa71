/** What is special to Nest: injected sessions, named engines, gateways, nestjs-cls. Decorators are called as functions. */
import 'reflect-metadata'
import { Controller, Injectable, Module, Post, type DynamicModule } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import {
  ClsPluginTransactional,
  Propagation,
  Transactional,
  TransactionHost,
} from '@nestjs-cls/transactional'
import { ClsModule } from 'nestjs-cls'
import { of } from 'rxjs'
import { afterEach, describe, expect, test } from 'vitest'
import { IllegalStateError, InvalidOptionError, Session, type SessionFactory } from '../../src/index.js'
import {
  getSessionFactoryToken,
  InjectEngine,
  InjectSession,
  LifeguardModule,
  SessionInterceptor,
  TransactionalAdapterLifeguard,
  type ForRootOptions,
} from '../../src/integrations/nestjs.js'
import { post } from './http-servers.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

async function stored(): Promise<string[]> {
  return (await fixture.db.query<{ text: string }>('select text from notes order by 1')).map(
    ({ text }) => text,
  )
}

const insert = (session: Session, text: string): Promise<unknown> =>
  session.execute('insert into notes (text) values ($1)', [text])

/** `@decorator() name() {}` */
function decorateMethod(target: object, name: string, decorator: MethodDecorator): void {
  const descriptor = Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor
  decorator(target, name, descriptor)
  Object.defineProperty(target, name, descriptor)
}

class Notes {
  constructor(readonly session: Session) {}
  add(text: string): Promise<unknown> {
    return insert(this.session, text)
  }
}
Injectable()(Notes)
InjectSession()(Notes, undefined, 0)

async function start(
  imports: unknown[],
  controllers: (new (...all: never[]) => object)[] = [],
  providers: unknown[] = [],
) {
  await fixture.db.query('truncate notes')
  class App {}
  Module({ imports: imports as DynamicModule[], controllers, providers: [Notes, ...(providers as [])] })(App)
  const app = await NestFactory.create(App, { logger: false, abortOnError: false })
  await app.listen(0, '127.0.0.1')
  closing.push(() => app.close())
  return { app, url: await app.getUrl() }
}

describe('an injected session', () => {
  test('works in a singleton: in requests, in blocks, and with a session class of your own', async () => {
    class Own extends Session {
      readonly label = 'own'
      twice(text: string): Promise<unknown> {
        return Promise.all([insert(this, text), insert(this, `${text}${text}`)])
      }
    }
    class Controls {
      constructor(private readonly notes: Notes) {}
      async create(): Promise<object> {
        const session = this.notes.session as Own
        await session.twice('a')
        return { label: session.label, isSession: session instanceof Session, closed: session.closed }
      }
    }
    Controller()(Controls)
    Reflect.defineMetadata('design:paramtypes', [Notes], Controls)
    decorateMethod(Controls.prototype, 'create', Post())
    const engine = fixture.engine()
    const { createSessionFactory } = await import('../../src/index.js')
    const sessionFactory = createSessionFactory({ bind: engine, sessionClass: Own })
    const { app, url } = await start([LifeguardModule.forRoot({ sessionFactory })], [Controls])
    const reply = await post(url)
    expect([reply.status, JSON.parse(reply.text)]).toEqual([
      201,
      { label: 'own', isSession: true, closed: false },
    ])
    expect(await stored()).toEqual(['a', 'aa'])
    await sessionFactory.withSession(() => app.get(Notes).add('in a block'))
    expect(await stored()).toContain('in a block')
  })

  test('says what to do outside of requests', async () => {
    const { app } = await start([LifeguardModule.forRoot({ sessionFactory: fixture.factory() })])
    expect(() => app.get(Notes).add('a')).toThrow(IllegalStateError)
    expect(() => app.get(Notes).add('a')).toThrow('withSession(fn)')
  })

  test('is found by its class, without a decorator', async () => {
    class ByClass {
      constructor(readonly session: Session) {}
    }
    Injectable()(ByClass)
    Reflect.defineMetadata('design:paramtypes', [Session], ByClass)
    const sessionFactory = fixture.factory()
    const { app } = await start([LifeguardModule.forRoot({ sessionFactory })], [], [ByClass])
    await sessionFactory.withSession(() => insert(app.get(ByClass).session, 'a'))
    expect(await stored()).toEqual(['a'])
  })
})

test('named engines are injected by name, and each commits its own transaction', async () => {
  class Both {
    engine!: { name: string }
    constructor(
      private readonly first: Session,
      private readonly second: Session,
    ) {}
    async create(): Promise<object> {
      await insert(this.first, 'first')
      await insert(this.second, 'second')
      return { engine: this.engine.name }
    }
  }
  Controller()(Both)
  InjectSession()(Both, undefined, 0)
  InjectSession('reports')(Both, undefined, 1)
  InjectEngine('reports')(Both.prototype, 'engine')
  decorateMethod(Both.prototype, 'create', Post())
  const reports = fixture.factory({ name: 'the reports' })
  const { url } = await start(
    [
      LifeguardModule.forRoot({ sessionFactory: fixture.factory() }),
      LifeguardModule.forRootAsync({ name: 'reports', useFactory: () => ({ sessionFactory: reports }) }),
    ],
    [Both],
  )
  expect(JSON.parse((await post(url)).text)).toEqual({ engine: 'the reports' })
  expect(await stored()).toEqual(['first', 'second'])
})

test('forRootAsync injects what its factory asks for', async () => {
  class Config {
    readonly factory = fixture.factory()
  }
  class ConfigModule {}
  Module({ providers: [Config], exports: [Config] })(ConfigModule)
  const { app } = await start([
    LifeguardModule.forRootAsync({
      imports: [ConfigModule] as never[],
      inject: [Config],
      useFactory: async (config: Config) => ({ sessionFactory: config.factory }),
    }),
  ])
  const factory = app.get<SessionFactory>(getSessionFactoryToken())
  expect(factory).toBe(app.get(Config, { strict: false }).factory)
})

test('the engine is disposed when the application closes, unless it is shared', async () => {
  const [own, shared] = [fixture.factory(), fixture.factory()]
  const { app } = await start([
    LifeguardModule.forRoot({ sessionFactory: own }),
    LifeguardModule.forRoot({ name: 'shared', sessionFactory: shared, dispose: false }),
  ])
  await app.close()
  expect([own.bind.stats().disposed, shared.bind.stats().disposed]).toEqual([true, false])
})

test('mistakes are told when the application starts', async () => {
  const sessionFactory = fixture.factory()
  expect(() => LifeguardModule.forRoot({} as ForRootOptions)).toThrow(InvalidOptionError)
  expect(() => LifeguardModule.forRoot({ sessionFactory, url: 'x' } as never)).toThrow("no option 'url'")
  expect(() => LifeguardModule.forRootAsync({} as never)).toThrow('useFactory')
  // The name belongs beside the factory: two names for one engine would be found by neither.
  const named = LifeguardModule.forRootAsync({ useFactory: () => ({ sessionFactory, name: 'x' }) as never })
  expect((await errorOf(start([named]))).message).toContain("no option 'name'")
})

// Of Nest 10 only what the module sees: its Express 4 or Fastify 4.
test.each([{ lazyrouter: () => undefined }, { version: '4.29.1' }])('Nest 10 is refused: %j', (server) => {
  const { module } = LifeguardModule.forRoot({ sessionFactory: fixture.factory() })
  const consumer = { getHttpAdapter: () => ({ getInstance: () => server }) }
  const made = new (module as new () => { configure(consumer: unknown): void })()
  expect(() => made.configure(consumer)).toThrow('lifeguard/nestjs needs Nest 11 or newer')
})

test('two modules of one name in one application are refused, and each application is one of its own', async () => {
  const [sessionFactory, other] = [fixture.factory(), fixture.factory()]
  const named = (name: string | undefined): DynamicModule =>
    LifeguardModule.forRoot({ name, sessionFactory: other })
  const main = LifeguardModule.forRoot({ sessionFactory, dispose: false })
  for (const name of [undefined, 'reports']) {
    const error = await errorOf(start([main, LifeguardModule.forRoot({ name, sessionFactory }), named(name)]))
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error.message).toContain(
      name === undefined ? 'twice without a name' : "twice with the name 'reports'",
    )
    expect(error.message).toContain("forRoot({ name: 'reports', sessionFactory })")
  }
  const one = LifeguardModule.forRoot({ sessionFactory, dispose: false })
  class Feature {}
  Module({ imports: [one] as DynamicModule[] })(Feature)
  // The same module, imported in two places, and in another application.
  await start([one, Feature])
  await start([one])
})

describe('SessionInterceptor', () => {
  test('gives a handler that is no request a session of its own', async () => {
    await fixture.db.query('truncate notes')
    const sessionFactory = fixture.factory()
    const interceptor = new SessionInterceptor(sessionFactory)
    const run = (work: () => Promise<unknown>): Promise<unknown> =>
      interceptor.intercept(undefined as never, {
        handle: () => ({
          subscribe: ({ next, error, complete }) =>
            void work().then((value) => {
              next(value)
              complete()
            }, error),
        }),
      })
    const session = (): Session => sessionFactory.current() as Session
    expect(await run(() => insert(session(), 'a').then(() => 'value'))).toEqual(['value'])
    const failure = new Error('failed')
    const failing = run(() => insert(session(), 'b').then(() => Promise.reject(failure)))
    expect(await errorOf(failing)).toBe(failure)
    expect(await stored()).toEqual(['a'])
    // In a request, or any other block, the session is there already.
    const values = of(1, 2)
    await sessionFactory.withSession(async () => {
      expect(await interceptor.intercept(undefined as never, { handle: () => values as never })).toBe(values)
    })
  })
})

describe('nestjs-cls', () => {
  class Accounts {
    constructor(private readonly host: TransactionHost<TransactionalAdapterLifeguard>) {}
    get tx(): Session {
      return this.host.tx
    }
    async stores(): Promise<void> {
      await insert(this.tx, 'stored')
    }
    async fails(): Promise<void> {
      await insert(this.tx, 'undone')
      throw new Error('fails')
    }
    async mixed(): Promise<void> {
      await insert(this.tx, 'outer')
      await this.nestedFails().catch(() => undefined)
      await this.joins()
      await this.separate()
    }
    async nestedFails(): Promise<void> {
      await insert(this.tx, 'nested')
      throw new Error('nested')
    }
    async joins(): Promise<void> {
      await insert(this.tx, 'joined')
    }
    async separate(): Promise<void> {
      await insert(this.tx, 'separate')
    }
  }
  Injectable()(Accounts)
  Reflect.defineMetadata('design:paramtypes', [TransactionHost], Accounts)
  for (const name of ['stores', 'fails', 'mixed', 'joins'])
    decorateMethod(Accounts.prototype, name, Transactional())
  decorateMethod(Accounts.prototype, 'nestedFails', Transactional(Propagation.Nested))
  decorateMethod(Accounts.prototype, 'separate', Transactional(Propagation.RequiresNew))

  async function accounts(): Promise<{ accounts: Accounts; sessionFactory: SessionFactory }> {
    const sessionFactory = fixture.factory()
    const plugin = new ClsPluginTransactional({ adapter: new TransactionalAdapterLifeguard() as never })
    const { app } = await start(
      [LifeguardModule.forRoot({ sessionFactory }), ClsModule.forRoot({ global: true, plugins: [plugin] })],
      [],
      [Accounts],
    )
    return { accounts: app.get(Accounts), sessionFactory }
  }

  test('a transactional method commits when it returns, and rolls back when it throws', async () => {
    const made = await accounts()
    await made.accounts.stores()
    expect((await errorOf(made.accounts.fails())).message).toBe('fails')
    expect(await stored()).toEqual(['stored'])
  })

  test('propagations: nested is a savepoint, required joins, requires new is independent', async () => {
    const made = await accounts()
    await made.accounts.mixed()
    expect(await stored()).toEqual(['joined', 'outer', 'separate'])
  })

  test('overlapping transactions end each its own', async () => {
    const made = await accounts()
    const outcomes = await Promise.allSettled([
      made.accounts.stores(),
      made.accounts.fails(),
      made.accounts.mixed(),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await stored()).toEqual(['joined', 'outer', 'separate', 'stored'])
  })

  test('outside of a transaction, tx is the session of the block, or throws', async () => {
    const made = await accounts()
    expect(() => made.accounts.tx).toThrow('@Transactional()')
    await made.sessionFactory.withSession(async (session) => expect(made.accounts.tx).toBe(session))
  })
})
