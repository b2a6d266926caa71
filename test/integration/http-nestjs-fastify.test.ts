/** Nest on Fastify: the same module, with the sessions of its requests stored before the answer. Decorators are called as functions. */
import 'reflect-metadata'
import { Controller, Module, Post, Query } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { afterEach, expect, test } from 'vitest'
import type { Session } from '../../src/index.js'
import { InjectSession, LifeguardModule } from '../../src/integrations/nestjs.js'
import { post } from './http-servers.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

class Notes {
  constructor(private readonly session: Session) {}

  async create(text: string, fails: string | undefined): Promise<object> {
    await this.session.execute('insert into notes (text) values ($1)', [text])
    if (fails !== undefined) throw new Error('after the insert')
    return { text }
  }
}
Controller('notes')(Notes)
InjectSession()(Notes, undefined, 0)
const create = Object.getOwnPropertyDescriptor(Notes.prototype, 'create') as PropertyDescriptor
Post()(Notes.prototype, 'create', create)
Query('text')(Notes.prototype, 'create', 0)
Query('fails')(Notes.prototype, 'create', 1)

test('a request is stored before its answer, rolled back when it throws, and errors are answered', async () => {
  class App {}
  const sessionFactory = fixture.factory()
  Module({
    imports: [LifeguardModule.forRoot({ sessionFactory, health: '/health' })],
    controllers: [Notes],
  })(App)
  const app = await NestFactory.create(App, new FastifyAdapter(), { logger: false, abortOnError: false })
  await app.listen(0, '127.0.0.1')
  closing.push(() => app.close())
  const url = await app.getUrl()
  const stored = async () =>
    (await fixture.db.query<{ text: string }>('select text from notes')).map(({ text }) => text)

  const added = await post(`${url}/notes?text=a`)
  expect([added.status, added.text]).toEqual([201, '{"text":"a"}'])
  expect(await stored()).toEqual(['a'])
  expect((await post(`${url}/notes?text=b&fails=1`)).status).toBe(500)
  expect((await post(`${url}/notes?text=a`)).status).toBe(409)
  expect(await stored()).toEqual(['a'])
  expect((await post(`${url}/health`, { method: 'GET' })).status).toBe(200)
})
