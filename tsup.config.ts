import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: true,
  splitting: true,
  // The build is as readable as the source: maps with the source in them would be more than half of the package.
  sourcemap: false,
  treeshake: false,
  // tsup's default rewrites `node:events` to `events`; the prefix is what we mean.
  removeNodeProtocol: false,
  clean: true,
})
