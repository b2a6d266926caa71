/**
 * Cleans up behind a process that cannot do it itself, because it was killed: `node watchdog.mjs <folder>`.
 *
 * It runs in a session of its own and reads lines from its owner: `+<pid>` for a process that belongs to the folder,
 * `-<pid>` when that process has ended. When the owner is gone (or closes the pipe), it ends what is left and deletes the folder.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

const folder = process.argv[2]
const pids = new Set()

// The terminal's Ctrl-C is for the owner. The end of the pipe is the only signal that counts here.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})

for await (const line of createInterface({ input: process.stdin })) {
  const pid = Number(line.slice(1))
  if (line.startsWith('+')) pids.add(pid)
  else pids.delete(pid)
}

// A server whose owner died between starting it and saying so.
const recorded = Number(readPidFile().split('\n')[0])
if (recorded > 0) pids.add(recorded)

for (const pid of pids) await end(pid)
rmSync(folder, { recursive: true, force: true, maxRetries: 5 })

function readPidFile() {
  try {
    return readFileSync(join(folder, 'data', 'postmaster.pid'), 'utf8')
  } catch {
    return ''
  }
}

/**
 * SIGQUIT is PostgreSQL's immediate shutdown; it takes the backends along. SIGKILL if that does not help. Then it gives
 * up: in a container whose first process reaps no orphans, dead processes stay listed for ever.
 */
async function end(pid) {
  for (const name of ['SIGQUIT', 'SIGKILL']) {
    signal(pid, name)
    for (const deadline = performance.now() + 3000; performance.now() < deadline; await pause(10)) {
      if (!signal(pid, 0)) return
    }
  }
}

function signal(pid, name) {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
