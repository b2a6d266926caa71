/**
 * Sets the metadata that Nest's decorators set, without Nest: its container finds injected parameters, properties and exception
 * filters by these names (`@nestjs/common/constants`).
 */
import { IllegalStateError } from '../../index.js'

/** What Nest finds a provider by. */
export type Token = string | symbol | (abstract new (...parameters: never[]) => object)

interface Metadata {
  getMetadata(key: string, target: object): unknown
  defineMetadata(key: string, value: unknown, target: object): void
}

const PARAMETERS = 'self:paramtypes'
const PROPERTIES = 'self:properties_metadata'
const CAUGHT = '__filterCatchExceptions__'

/** `@Inject(token)`, for parameters of constructors and for properties. */
export function inject(token: Token) {
  return (target: object, key: string | symbol | undefined, index?: number): void => {
    const isParameter = index !== undefined
    const [name, owner] = isParameter ? [PARAMETERS, target] : [PROPERTIES, target.constructor]
    const known = (metadata().getMetadata(name, owner) ?? []) as readonly object[]
    const added = isParameter ? { index, param: token } : { key, type: token }
    metadata().defineMetadata(name, [...known, added], owner)
  }
}

/** `@Catch(errors)`. */
export function catches(filter: object, errors: readonly object[]): void {
  metadata().defineMetadata(CAUGHT, errors, filter)
}

function metadata(): Metadata {
  const found = Reflect as unknown as Partial<Metadata>
  if (found.defineMetadata !== undefined) return found as Metadata
  throw new IllegalStateError(
    "lifeguard/nestjs was used before Nest: import 'reflect-metadata' first, as every Nest application does",
  )
}
