/** Checks the options of the functions of `lifeguard/testing`. */
import { InvalidOptionError } from '../../index.js'

/**
 * @param call The call as the caller writes it, with its options: `startDatabase({ source })`.
 * @throws InvalidOptionError for no object, and for a name that is not known.
 */
export function refuseUnknown(call: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw new InvalidOptionError('options', `The options must be an object: ${call}`)
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown === undefined) return
  const near = known.find((name) => name.toLowerCase() === unknown.toLowerCase())
  const advice = near === undefined ? `it has ${known.join(', ')}` : `did you mean '${near}'?`
  throw new InvalidOptionError(unknown, `${call} has no option '${unknown}'; ${advice}`)
}
