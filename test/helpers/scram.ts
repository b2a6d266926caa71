/** Passwords as PostgreSQL keeps them (RFC 5802, section 3). */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

/**
 * Stored for a password with one iteration instead of PostgreSQL's 4096: these take 3 ms of each side for each new connection, and a run
 * of all tests makes some ten thousand. The conversation of client and server is the same. Servers before 16 have no setting for it.
 */
export function quickVerifier(password: string): string {
  const iterations = 1
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const keyFor = (name: string): Buffer => createHmac('sha256', salted).update(name).digest()
  const stored = createHash('sha256').update(keyFor('Client Key')).digest('base64')
  const server = keyFor('Server Key').toString('base64')
  return `SCRAM-SHA-256$${String(iterations)}:${salt.toString('base64')}$${stored}:${server}`
}
