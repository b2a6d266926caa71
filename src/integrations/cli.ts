#!/usr/bin/env node
/** The command `lifeguard`. */
import { run } from './cli/run.js'
import { forgiving } from './cli/terminal.js'

void run(process.argv.slice(2), {
  out: forgiving(process.stdout),
  err: forgiving(process.stderr),
  env: process.env,
  cwd: process.cwd(),
  script: process.argv[1] ?? '',
}).then((code) => {
  process.exitCode = code
})
