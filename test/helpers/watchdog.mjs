/**
 * Cleans up behind a process that cannot do it itself, because it was killed: `node watchdog.mjs`.
 *
 * It runs in a session of its own and reads lines of JSON from its owner: `{ folder, started: pid }` and `{ folder, ended: pid }` for the
 * processes that belong to a folder, and `{ folder, dispose: true }`. That ends what is left in the folder and deletes it; the answer is
 * the folder's path in a line. When the owner is gone (or closes the pipe), it does so with all folders.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

/** By folder: the ids of its processes. */
const folders = new Map()

// The terminal's Ctrl-C is for the owner. The end of the pipe is the only signal that counts here.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
// The owner of the other end may be gone.
process.stdout.on('error', () => {})

for await (const line of createInterface({ input: process.stdin })) {
  const { folder, started, ended, dispose } = JSON.parse(line)
  const pids = folders.get(folder) ?? new Set()
  folders.set(folder, pids)
  if (started !== undefined) pids.add(started)
  if (ended !== undefined) pids.delete(ended)
  if (dispose) void remove(folder).then(() => process.stdout.write(`${folder}\n`))
}
await Promise.all([...folders.keys()].map(remove))

async function remove(folder) {
  const pids = folders.get(folder)
  // A server whose owner died between starting it and saying so.
  const recorded = Number(readPidFile(folder).split('\n')[0])
  if (recorded > 0) pids.add(recorded)
  for (const pid of pids) await end(pid)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  folders.delete(folder)
}

function readPidFile(folder) {
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
