/** `lifeguard/nestjs` on Nest 11; `test/integration` runs it on the newest. Decorators are called as functions. */
import 'reflect-metadata'
import { Controller, Injectable, Module, Post, Query, VERSION_NEUTRAL } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import type { Session, SessionFactory } from 'lifeguard'
import { InjectSession, InjectSessionFactory, LifeguardModule } from 'lifeguard/nestjs'
import { post } from '../integration/http-servers.js'
import { useDatabase } from '../integration/session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

class NoteService {
  constructor(private readonly session: Session) {}
  add(text: string): Promise<unknown> {
    return this.session.execute('insert into notes (text) values ($1)', [text])
  }
}
Injectable()(NoteService)
InjectSession()(NoteService, undefined, 0)

class NoteController {
  constructor(
    private readonly notes: NoteService,
    private readonly factory: SessionFactory,
  ) {}

  async create(text: string, fails: string | undefined): Promise<object> {
    await this.notes.add(text)
    if (fails !== undefined) throw new Error('after the insert')
    return { text, isCurrent: this.factory.current() !== undefined }
  }
}
Controller({ path: 'notes', version: VERSION_NEUTRAL })(NoteController)
Reflect.defineMetadata('design:paramtypes', [NoteService, Object], NoteController)
InjectSessionFactory()(NoteController, undefined, 1)
const create = Object.getOwnPropertyDescriptor(NoteController.prototype, 'create') as PropertyDescriptor
Post()(NoteController.prototype, 'create', create)
Query('text')(NoteController.prototype, 'create', 0)
Query('fails')(NoteController.prototype, 'create', 1)

test('a session is injected, committed before the answer, rolled back when it throws, and ended with the application', async () => {
  const manifest = createRequire(import.meta.url).resolve('@nestjs/common/package.json')
  expect((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version).toMatch(/^11\./)
  class App {}
  const sessionFactory = fixture.factory()
  Module({
    imports: [
      LifeguardModule.forRootAsync({
        useFactory: () => ({ sessionFactory, health: '/health', onError: () => undefined }),
      }),
    ],
    controllers: [NoteController],
    providers: [NoteService],
  })(App)
  const app = await NestFactory.create(App, { logger: false, abortOnError: false })
  await app.listen(0, '127.0.0.1')
  const url = await app.getUrl()
  const stored = async (): Promise<string[]> =>
    (await fixture.db.query<{ text: string }>('select text from notes')).map(({ text }) => text)

  const added = await post(`${url}/notes?text=a`)
  expect([added.status, added.text]).toEqual([201, '{"text":"a","isCurrent":true}'])
  expect((await post(`${url}/notes?text=b&fails=1`)).status).toBe(500)
  expect((await post(`${url}/notes?text=a`)).status).toBe(409)
  expect(await stored()).toEqual(['a'])
  expect((await post(`${url}/health`, { method: 'GET' })).status).toBe(200)
  await app.close()
  expect(sessionFactory.bind.stats().disposed).toBe(true)
})
