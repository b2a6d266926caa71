/** The routes of `http-routes.ts` as a Nest application. Decorators are called as functions: the tests compile without them. */
import 'reflect-metadata'
import {
  Controller,
  HttpException,
  Inject,
  Module,
  Param,
  Post,
  Query,
  Res,
  StreamableFile,
  UnauthorizedException,
  UseGuards,
  type ExecutionContext,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { Response } from 'express'
import type { Session, SessionFactory } from '../../src/index.js'
import { InjectSession, LifeguardModule } from '../../src/integrations/nestjs.js'
import { exchangeOf, type Framework } from './http-servers.js'
import { routesOf, type Handler } from './http-routes.js'

class Guard {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>()
    if (headers['authorization'] === 'none') throw new UnauthorizedException()
    return true
  }
}

class Routes {
  constructor(
    private readonly session: Session,
    private readonly factory: SessionFactory,
    private readonly handlers: Readonly<Record<string, Handler>>,
  ) {}

  async handle(name: string, text: string, response: Response): Promise<unknown> {
    const handler = this.handlers[name]
    if (handler === undefined) throw new HttpException('unknown', 404)
    // The injected session stands for that of the request; `current()` is that session itself.
    const session = (): Session => this.factory.current() ?? this.session
    if (name === 'add') {
      await this.session.execute('insert into notes (text) values ($1)', [text])
      response.status(201)
      return { text }
    }
    const answer = await handler(exchangeOf(this.factory, session, text))
    response.status(answer.status)
    return answer.stream === undefined ? answer.body : new StreamableFile(answer.stream)
  }
}

Controller()(Routes)
InjectSession()(Routes, undefined, 0)
Inject('factory')(Routes, undefined, 1)
Inject('handlers')(Routes, undefined, 2)
UseGuards(Guard)(Routes)
const handle = Object.getOwnPropertyDescriptor(Routes.prototype, 'handle') as TypedPropertyDescriptor<unknown>
Post(':name')(Routes.prototype, 'handle', handle)
Param('name')(Routes.prototype, 'handle', 0)
Query('text')(Routes.prototype, 'handle', 1)
Res({ passthrough: true })(Routes.prototype, 'handle', 2)

export const nestApp: Framework = {
  name: 'nestjs',
  streamsInSession: true,
  async start(factory, stage, options = {}) {
    class App {}
    Module({
      imports: [
        LifeguardModule.forRootAsync({
          useFactory: async () => ({
            sessionFactory: factory,
            health: '/health',
            onError: () => undefined,
            ...options,
          }),
        }),
      ],
      controllers: [Routes],
      providers: [
        { provide: 'factory', useValue: factory },
        { provide: 'handlers', useValue: routesOf(stage) },
      ],
    })(App)
    const app = await NestFactory.create(App, { logger: false })
    await app.listen(0, '127.0.0.1')
    const url = (await app.getUrl()).replace('[::1]', '127.0.0.1')
    return { url, close: () => app.close() }
  },
}
