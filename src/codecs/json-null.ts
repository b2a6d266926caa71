/** JSON's `null` as the value of a whole column, which is not SQL's NULL. */

/** The type of {@link jsonNull}. */
export interface JsonNull {
  /** So that `JSON.stringify` writes `null`. */
  toJSON(): null
}

class Constant implements JsonNull {
  toJSON(): null {
    return null
  }
}

const KEY = Symbol.for('lifeguard.jsonNull')

/** The same object for all copies of the package in a process: it is compared by `===`. */
function constant(): JsonNull {
  const holder = globalThis as { [KEY]?: JsonNull }
  return (holder[KEY] ??= Object.freeze(new Constant()))
}

/**
 * The JSON value `null` of a whole `json` or `jsonb` column, when read and when written. `null` as the value of the column is
 * SQL's NULL. Inside a document, JSON's null is `null` as usual.
 *
 * @example
 * class Setting extends Base.entity('settings', {
 *   name: text().primaryKey(),
 *   value: jsonb<number | string | JsonNull>().notNull(),
 * }) {}
 * setting.value = jsonNull
 * if (setting.value === jsonNull) console.log('set to nothing')
 */
export const jsonNull: JsonNull = constant()
