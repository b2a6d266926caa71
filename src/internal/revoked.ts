/**
 * Detects revoked Proxies. Any operation on one throws a raw TypeError: `Array.isArray`, `in`, `instanceof`, a property, a call. So
 * public calls check their arguments here before they look at them.
 */

/** Whether a value is a Proxy that was revoked, or one around it. */
export function isRevoked(value: unknown): boolean {
  try {
    Array.isArray(value)
    return false
  } catch {
    return true
  }
}

/** What a revoked Proxy is called in messages. */
export const REVOKED = 'a revoked Proxy'

/** As `Array.isArray`; false for a revoked Proxy. */
export function isArray(value: unknown): value is unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** Whether a value is a function that can be called. */
export function isFunction(value: unknown): value is (...args: never[]) => unknown {
  return typeof value === 'function' && !isRevoked(value)
}

/** Whether a value is an object that can be read. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isRevoked(value)
}

/** As `instanceof`; false for a revoked Proxy. */
export function isInstance<Instance>(
  value: unknown,
  type: abstract new (...args: never[]) => Instance,
): value is Instance {
  return isObject(value) && value instanceof type
}
