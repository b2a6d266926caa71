import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['src/index.ts'],
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: true,
  splitting: true,
  sourcemap: true,
  treeshake: false,
  // tsup's default rewrites `node:events` to `events`; the prefix is what we mean.
  removeNodeProtocol: false,
  clean: true,
})
