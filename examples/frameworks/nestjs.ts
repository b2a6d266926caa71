/**
 * Notes over HTTP with NestJS: one session for each request, injected everywhere.
 *
 *     DATABASE_URL=postgres://... npx tsx --tsconfig tsconfig.test.json examples/frameworks/nestjs.ts
 *
 * Decorators of Nest need `experimentalDecorators` in the tsconfig.
 */
import 'reflect-metadata'
import { Controller, Get, Inject, Injectable, Module, Param, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { createEngine, createSessionFactory, type Session } from 'lifeguard'
import { InjectSession, LifeguardModule } from 'lifeguard/nestjs'

const engine = createEngine({ url: process.env.DATABASE_URL })
const sessionFactory = createSessionFactory({ bind: engine })
await engine.begin((connection) =>
  connection.execute('create table if not exists notes (text text primary key)'),
)

@Injectable()
class NoteService {
  constructor(@InjectSession() private readonly session: Session) {}

  async list(): Promise<unknown[]> {
    return await this.session.scalars('select text from notes order by text')
  }

  async add(text: string): Promise<{ text: string }> {
    await this.session.execute('insert into notes values ($1)', [text])
    return { text }
  }
}

@Controller('notes')
class NoteController {
  constructor(@Inject(NoteService) private readonly notes: NoteService) {}

  @Get()
  list(): Promise<unknown[]> {
    return this.notes.list()
  }

  @Post(':text')
  add(@Param('text') text: string): Promise<{ text: string }> {
    return this.notes.add(text)
  }
}

@Module({
  imports: [LifeguardModule.forRoot({ sessionFactory, health: '/health' })],
  controllers: [NoteController],
  providers: [NoteService],
})
class App {}

const app = await NestFactory.create(App, { logger: false })
app.enableShutdownHooks() // SIGTERM closes the application, and the engine with it
await app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
console.log(`listens on ${await app.getUrl()}`)
