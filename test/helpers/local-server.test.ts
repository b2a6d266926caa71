import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { query } from './databases.js'
import { isAlive } from './local-process.js'
import { startServer } from './local-server.js'
import { waitUntil } from './wait-until.js'

const OWNER = fileURLToPath(new URL('fixtures/server-owner.ts', import.meta.url))

test('a server asks for a password over TCP and can be stopped and started on its port', async () => {
  await using server = await startServer({ settings: { application_name: 'by-the-settings' } })
  expect(await query(server.url, 'SHOW application_name')).toEqual([{ application_name: 'by-the-settings' }])
  await expect(query(server.url.replace(server.password, 'wrong'), 'SELECT 1')).rejects.toMatchObject({
    code: '28P01',
  })

  await query(server.url, 'CREATE TABLE kept ()')
  await server.stop()
  await expect(query(server.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await server.start()
  expect(await query(server.url, 'SELECT * FROM kept')).toEqual([])

  await server.kill()
  await server.start()
  expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  expect(server.log()).toContain('was interrupted')
})

test('a disposed server leaves neither a process nor a file', async () => {
  const server = await startServer()
  const processId = server.processId
  await server.dispose()
  expect(existsSync(server.socketDirectory)).toBe(false)
  expect(isAlive(processId ?? 0)).toBe(false)
})

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'a run that gets a %s leaves neither a server nor its files',
  async (signal) => {
    const owner = spawn(process.execPath, ['--import', 'tsx', OWNER], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(owner.stdout, 'data')) as [Buffer]
    const { processId, folder } = JSON.parse(line.toString()) as { processId: number; folder: string }
    expect(isAlive(processId)).toBe(true)

    owner.kill(signal)
    await waitUntil(() => !isAlive(processId), { deadlineMillis: 15_000, message: 'the server to end' })
    await waitUntil(() => !existsSync(folder), { deadlineMillis: 15_000, message: 'its files to be deleted' })
  },
)
