#!/usr/bin/env node
/** The command `lifeguard`. */
import { run } from './cli/run.js'

void run(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  env: process.env,
  cwd: process.cwd(),
}).then((code) => {
  process.exitCode = code
})
