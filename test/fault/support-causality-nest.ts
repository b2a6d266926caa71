/** A Nest application that writes and reads one note, on Express and on Fastify. Decorators are called as functions. */
import 'reflect-metadata'
import { Controller, Get, Module, Param, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { FastifyAdapter } from '@nestjs/platform-fastify'
import type { Session, SessionFactory } from '../../src/index.js'
import { type CausalityCarrier, InjectSession, LifeguardModule } from '../../src/integrations/nestjs.js'
import type { Service } from '../integration/http-servers.js'

/** The routes of all frameworks: `POST /N` writes N, `GET /` reads it. */
export interface Work {
  readonly write: (session: Session, path: string) => Promise<unknown>
  readonly read: (session: Session) => Promise<unknown>
}

export async function startNest(
  sessionFactory: SessionFactory,
  causality: CausalityCarrier,
  { write, read }: Work,
  adapter?: FastifyAdapter,
): Promise<Service> {
  class Notes {
    constructor(private readonly session: Session) {}

    async set(n: string): Promise<object> {
      await write(this.session, `/${n}`)
      return {}
    }

    get(): Promise<unknown> {
      return read(this.session)
    }
  }
  Controller()(Notes)
  InjectSession()(Notes, undefined, 0)
  decorate(Notes.prototype, 'set', Post(':n'))
  Param('n')(Notes.prototype, 'set', 0)
  decorate(Notes.prototype, 'get', Get())

  class App {}
  const session = ({ method }: { method?: string | undefined }) => ({ readOnly: method === 'GET' })
  Module({
    imports: [LifeguardModule.forRoot({ sessionFactory, causality, session, dispose: false })],
    controllers: [Notes],
  })(App)
  const options = { logger: false, abortOnError: false } as const
  const app =
    adapter === undefined
      ? await NestFactory.create(App, options)
      : await NestFactory.create(App, adapter, options)
  await app.listen(0, '127.0.0.1')
  return { url: (await app.getUrl()).replace('[::1]', '127.0.0.1'), close: () => app.close() }
}

function decorate(target: object, name: string, decorator: MethodDecorator): void {
  decorator(target, name, Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor)
}
