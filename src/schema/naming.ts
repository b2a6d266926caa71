/** Derives the database names of columns that are declared without a name. */
import { InvalidOptionError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { kindOf } from '../codecs/codec.js'

/** The name of a strategy, or a function from the name of the property to the name of the column. */
export type NamingStrategy = 'snake_case' | ((property: string) => string)

/** @throws InvalidOptionError unless it is a function or the name of a strategy. */
export function namingFunction(naming: NamingStrategy | undefined): (property: string) => string {
  if (naming === undefined) return (property) => property
  if (typeof naming === 'function') return naming
  if (naming === 'snake_case') return snakeCase
  const given: unknown = naming
  const what = typeof given === 'string' ? `'${given}'${didYouMean(given, ['snake_case'])}` : kindOf(given)
  throw new InvalidOptionError('naming', `naming takes 'snake_case' or a function, not ${what}`)
}

/** `albumId` is `album_id`, `HTMLBody` is `html_body`; digits stay where they are: `line2` is `line2`. */
function snakeCase(property: string): string {
  return property
    .replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, '$1_$2')
    .replaceAll(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1_$2')
    .toLowerCase()
}
