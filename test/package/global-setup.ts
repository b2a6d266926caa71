/** A folder for the tarball, which the first test file that needs it packs: see `installed.ts`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Has the tarball and `pack.json`, what `npm pack --json` printed. */
    packedFolder: string
  }
}

/** `LIFEGUARD_PACKED` is a folder in which both are already. */
export default function setup(project: TestProject): () => void {
  const { LIFEGUARD_PACKED: given = '' } = process.env
  const folder = given === '' ? mkdtempSync(join(tmpdir(), 'lifeguard-packed-')) : resolve(given)
  project.provide('packedFolder', folder)
  return () => {
    if (given === '') rmSync(folder, { recursive: true, force: true })
  }
}
