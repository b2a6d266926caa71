import type { ConnectTarget } from '../../../src/driver/connect-options.js'
import type { HostTarget } from '../../../src/driver/hosts.js'

/** The host of a target that has only one. */
export function hostOf({ hosts: [only, ...others] }: ConnectTarget): HostTarget {
  if (only === undefined || others.length > 0) throw new Error('Not one host')
  return only
}
