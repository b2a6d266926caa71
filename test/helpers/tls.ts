/** Certificates for a server with `ssl = on`, made with the `openssl` program. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SUPERUSER } from './local-server.js'

/** Paths of a certificate and its key, PEM. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

/** A small public-key infrastructure in a folder of its own. */
export interface Certificates extends Disposable {
  /** Certificate of the authority that signed the other two. */
  readonly authority: string
  /** For `localhost` and 127.0.0.1. */
  readonly server: KeyPair
  /** For the superuser of a local server (`cert` in pg_hba.conf). */
  readonly client: KeyPair
}

/** Takes some 100 ms. @throws if there is no `openssl`. */
export function createCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-tls-'))
  const openssl = (...options: readonly string[]): void => {
    execFileSync('openssl', options, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const issue = (name: string, commonName: string, extension: string): KeyPair => {
    writeFileSync(join(folder, `${name}.ext`), extension)
    openssl('req', ...newKey, '-subj', `/CN=${commonName}`, '-keyout', `${name}.key`, '-out', `${name}.csr`)
    const by = [
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
    ]
    openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.crt`)
    return { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) }
  }
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-subj',
    '/CN=Lifeguard tests',
    '-days',
    '2',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  )
  return {
    authority: join(folder, 'ca.crt'),
    server: issue('server', 'localhost', 'subjectAltName = DNS:localhost, IP:127.0.0.1\n'),
    client: issue('client', SUPERUSER.user, 'extendedKeyUsage = clientAuth\n'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
