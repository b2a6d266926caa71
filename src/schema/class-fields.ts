/**
 * Finds fields of a class that overwrite its columns. `class Song extends Base.entity(...) { title = 'x' }` gives every new Song the
 * title 'x', whatever its constructor was given. A field without a value, which TypeScript emits for `title!: string`, sets it to
 * undefined.
 *
 * A base class cannot see the fields of its subclass, so the source of the class is read. A field in it is only reported when an
 * instance has in fact lost a given value.
 */
import { isDevelopment, warnOnce } from '../internal/development.js'
import { captureCallSite, lineOf } from '../pool/call-site.js'
import type { AnyEntity } from './entity-types.js'
import { ENTITY } from './entity-types.js'

const NONE: readonly string[] = []
/** Comments, strings, and templates. */
const OPAQUE = /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`/g

/** The properties that the class, or one between it and its entity, seems to declare as fields. Empty in production. */
export function fieldsOf(entity: AnyEntity, properties: readonly string[]): readonly string[] {
  if (!isDevelopment()) return NONE
  const found = new Set<string>()
  let at: object | null = entity
  while (typeof at === 'function' && !Object.hasOwn(at, ENTITY)) {
    const body = bodyOf(Function.prototype.toString.call(at))
    for (const property of properties) if (isField(body, property)) found.add(property)
    at = Object.getPrototypeOf(at) as object | null
  }
  return found.size === 0 ? NONE : [...found]
}

/** What stands directly in the body of a class, without what its methods, initial values and static blocks hold. */
function bodyOf(source: string): string {
  const text = source.replace(OPAQUE, '""')
  let depth = 0
  let body = ''
  let isInside = false
  for (const character of text) {
    if ('({['.includes(character)) {
      if (character === '{' && depth === 0) isInside = true
      else if (isInside && depth === 1) body += character
      depth++
    } else if (')}]'.includes(character)) {
      depth--
      if (isInside && depth === 1) body += character
    } else if (isInside && depth === 1) body += character
  }
  return body
}

function isField(body: string, property: string): boolean {
  if (!/^[\w$]+$/.test(property)) return false
  return new RegExp(`(?:^|[;}\\n])\\s*${property.replaceAll('$', '\\$')}\\s*(?:=(?![=>])|;|\\n|$)`).test(body)
}

/** Looks, when the constructors have run, whether an instance has lost values that it was given. */
export function checkFields(
  name: string,
  fields: readonly string[],
  instance: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, unknown>>,
): void {
  const given = fields.filter((field) => values[field] !== undefined)
  if (given.length === 0) return
  const before = given.map((field) => values[field])
  const site = captureCallSite(checkFields)
  queueMicrotask(() => {
    given.forEach((field, index) => {
      if (Object.is(instance[field], before[index])) return
      warnOnce(
        'LIFEGUARD_CLASS_FIELD',
        `${name}.${field}`,
        `The class field ${name}.${field} overwrites what the constructor was given, at ${lineOf(site)}: new ${name}({ ${field} }) loses its value. ` +
          `Remove the field; for a type only, write \`declare ${field}: ...\`; for an initial value, add default() to the column.`,
      )
    })
  })
}
