/** better-auth with `database`: migrations, sign-up, sign-in, sessions. */
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { expect, test } from 'vitest'
import { checkLibrary } from './checks.js'

const PASSWORD = 'correct horse battery staple'

function on(pool: Pool) {
  return betterAuth({
    database: pool,
    secret: 'a secret of this test, of more than 32 characters: xx',
    baseURL: 'http://localhost',
    logger: { disabled: true },
    telemetry: { enabled: false },
    emailAndPassword: {
      enabled: true,
      // The real one takes a tenth of a second on purpose.
      password: {
        hash: (password) => Promise.resolve(`#${password}`),
        verify: ({ hash, password }) => Promise.resolve(hash === `#${password}`),
      },
    },
  })
}

async function migrated(pool: Pool): Promise<ReturnType<typeof on>> {
  const auth = on(pool)
  const { runMigrations } = await getMigrations(auth.options)
  await runMigrations()
  return auth
}

let emails = 0
const newUser = () => ({ email: `user${emails++}@example.com`, password: PASSWORD, name: 'Paul' })

const fixture = checkLibrary('better-auth', {
  open: async (pool) => {
    const auth = await migrated(pool)
    const { api } = auth
    const known = newUser()
    await api.signUpEmail({ body: known })
    return {
      table: '"user"',
      job: () => api.signUpEmail({ body: newUser() }),
      failures: {
        'an address that is taken': () => api.signUpEmail({ body: known }),
        'a wrong password': () => api.signInEmail({ body: { ...known, password: 'wrong' } }),
      },
    }
  },
})

test('better-auth makes its tables, signs up, signs in, knows the session, and signs out', async () => {
  const pool = poolFrom(fixture.engine())
  const { api, options } = await migrated(pool)
  expect((await getMigrations(options)).toBeCreated).toEqual([])
  const user = newUser()
  await api.signUpEmail({ body: user })
  const response = await api.signInEmail({ body: user, asResponse: true })
  const cookie = response.headers
    .getSetCookie()
    .map((one) => one.split(';')[0])
    .join('; ')
  const headers = new Headers({ cookie })
  expect(await api.getSession({ headers })).toMatchObject({ user: { email: user.email } })
  expect(await api.listSessions({ headers })).toHaveLength(2)
  await api.signOut({ headers })
  expect(await api.getSession({ headers })).toBe(null)
})
