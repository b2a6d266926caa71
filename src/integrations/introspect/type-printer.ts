/** Prints types of columns as expressions, and each declared type (enums, domains, ...) that they need once. */
import type { Catalog, CatalogType } from './catalog-model.js'
import type { Findings } from './findings.js'
import { Imports } from './imports.js'
import { PACKAGE_TYPES, RARE_TYPES } from './reserved-names.js'
import { key, quote, sqlTag } from './source-text.js'
import { nameTypes } from './type-names.js'
import { camel, pascal, wordsOf } from './words.js'

/** A type as a column, a field or a domain has it. */
export interface TypeUse {
  readonly type: string
  readonly modifier: number
  readonly typeText: string
  readonly dimensions: number
}

/** An expression in two parts, between which arguments may come: `varchar(` name `{ length: 3 })`. */
export interface TypeExpression {
  /** Everything up to the parenthesis that takes the name of the column. */
  readonly call: string
  /** Further arguments. */
  readonly options: string | null
  /** What follows: `.array()`. */
  readonly modifiers: string
  /** Why it is read as text. */
  readonly note: string | null
}

/** A declared type. */
export interface DeclaredSource {
  readonly name: string
  readonly lines: readonly string[]
}

const PACKAGE = 'lifeguard'
const TYPES = 'lifeguard/types'

export class TypePrinter {
  readonly #catalog: Catalog
  readonly #findings: Findings
  /** The constants of declared types, and their imports. */
  readonly imports: Imports = new Imports()
  readonly #names: ReadonlyMap<string, string>
  readonly #declared = new Map<string, DeclaredSource>()
  readonly #schemaOf: (schema: string) => string | null

  /** @param schemaOf The schema as a declaration names it; null for that which statements mean without a name. */
  constructor(catalog: Catalog, findings: Findings, schemaOf: (schema: string) => string | null) {
    this.#catalog = catalog
    this.#findings = findings
    this.#schemaOf = schemaOf
    this.#names = nameTypes(catalog)
  }

  /** The declared types that were asked for, each after what it needs. */
  get declared(): readonly DeclaredSource[] {
    return [...this.#declared.values()]
  }

  /** @param imports Where the expression is going to stand. */
  expression(use: TypeUse, imports: Imports): TypeExpression {
    const type = this.#catalog.types.get(use.type)
    if (type === undefined) return this.#other(use, imports, 'the type of another table')
    if (type.element !== null) return this.#array(use, type, type.element, imports)
    if (type.schema === 'pg_catalog') {
      const usual = PACKAGE_TYPES[type.name]
      if (usual !== undefined) return called(imports.add(PACKAGE, usual))
      if (RARE_TYPES.has(type.name)) return called(imports.add(TYPES, type.name))
      return this.#limited(use, type, imports)
    }
    if (type.extension !== null) return this.#ofExtension(use, type, type.extension, imports)
    return this.#declare(use, type, imports)
  }

  /** As a column of no table: `text()`, for fields and domains. */
  column(use: TypeUse, imports: Imports, name?: string): string {
    const { call, options, modifiers } = this.expression(use, imports)
    return `${call}(${[name === undefined ? null : quote(name), options].filter((part) => part !== null).join(', ')})${modifiers}`
  }

  #array(use: TypeUse, type: CatalogType, element: string, imports: Imports): TypeExpression {
    const text = use.typeText.replace(/(?:\[\])+$/, '')
    const inner = this.expression({ ...use, type: element, typeText: text }, imports)
    // A domain over an array has arrays in itself.
    if (inner.modifiers !== '' || this.#isArray(element))
      return this.#other(use, imports, `an array of ${type.name}`)
    const dimensions = Math.min(Math.max(use.dimensions, 1), 6)
    const options = dimensions === 1 ? '{ nulls: true }' : `{ dimensions: ${dimensions}, nulls: true }`
    return { ...inner, modifiers: `.array(${options})` }
  }

  #isArray(oid: string): boolean {
    const type = this.#catalog.types.get(oid)
    if (type === undefined) return false
    return type.element !== null || (type.domain !== null && this.#isArray(type.domain.base))
  }

  /** Types whose modifier is a length or a precision. */
  #limited(use: TypeUse, { name }: CatalogType, imports: Imports): TypeExpression {
    const { modifier } = use
    const precision = modifier < 0 ? null : `{ precision: ${modifier & 0xffff} }`
    switch (name) {
      case 'varchar':
        return called(imports.add(PACKAGE, 'varchar'), modifier < 4 ? null : `{ length: ${modifier - 4} }`)
      case 'bpchar':
        if (modifier < 4) break
        return called(imports.add(PACKAGE, 'char'), modifier === 5 ? null : `{ length: ${modifier - 4} }`)
      case 'numeric': {
        if (modifier < 4) return called(imports.add(PACKAGE, 'numeric'))
        const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024
        const digits = ((modifier - 4) >> 16) & 0xffff
        return called(imports.add(PACKAGE, 'numeric'), `{ precision: ${digits}, scale: ${scale} }`)
      }
      case 'time':
      case 'timestamp':
      case 'timestamptz':
        return called(imports.add(PACKAGE, name), precision)
      case 'interval':
        // The fields of an interval stand in its modifier, too.
        if (modifier >= 0 && modifier >> 16 !== 0x7fff) break
        return called(imports.add(PACKAGE, name), (modifier & 0xffff) === 0xffff ? null : precision)
      case 'bit':
        return called(imports.add(TYPES, 'bit'), modifier === 1 ? null : `{ length: ${modifier} }`)
      case 'varbit':
        return called(imports.add(TYPES, 'varbit'), modifier < 0 ? null : `{ length: ${modifier} }`)
    }
    return this.#other(use, imports, null)
  }

  #ofExtension(
    use: TypeUse,
    type: CatalogType,
    { name, schema }: { readonly name: string; readonly schema: string },
    imports: Imports,
  ): TypeExpression {
    const where = schema === 'public' ? null : `schema: ${quote(schema)}`
    if (['citext', 'hstore'].includes(type.name) && name === type.name)
      return called(imports.add(TYPES, type.name), where && `{ ${where} }`)
    if (type.name === 'vector' && name === 'vector') {
      const options = [
        ...(use.modifier < 0 ? [] : [`dimensions: ${use.modifier}`]),
        ...(where === null ? [] : [where]),
      ]
      return called(imports.add(TYPES, 'vector'), options.length === 0 ? null : `{ ${options.join(', ')} }`)
    }
    return this.#other(use, imports, null, `extension: ${quote(name)}${where === null ? '' : `, ${where}`}`)
  }

  /** A text that PostgreSQL reads and writes. */
  #other(use: TypeUse, imports: Imports, why: string | null, more?: string): TypeExpression {
    // Without a length, or it would cut what is too long.
    const cast = use.typeText.replaceAll(/\([^()"]*\)(?=[^"]*(?:"[^"]*"[^"]*)*$)/g, '')
    const options = [
      ...(cast === use.typeText ? [] : [`castType: ${quote(cast)}`]),
      ...(more === undefined ? [] : [more]),
    ]
    const given = [quote(use.typeText), ...(options.length === 0 ? [] : [`{ ${options.join(', ')} }`])]
    return {
      call: `${imports.add(TYPES, 'otherType')}(${given.join(', ')})`,
      options: null,
      modifiers: '',
      note: `${why ?? use.typeText} has no type of its own here: it is read and written as PostgreSQL's text`,
    }
  }

  #declare(use: TypeUse, type: CatalogType, imports: Imports): TypeExpression {
    const rangeOid = type.kind === 'multirange' ? (type.rangeOf ?? '') : type.oid
    const declared = this.#catalog.types.get(rangeOid) ?? type
    const name = this.#names.get(declared.oid)
    if (name === undefined || !['enum', 'domain', 'composite', 'range'].includes(declared.kind))
      return this.#other(use, imports, null)
    if (declared.kind === 'enum' && declared.labels.length === 0)
      return this.#other(use, imports, `${use.typeText}, an enum without labels,`)
    if (!this.#declared.has(declared.oid)) {
      const lines = this.#source(declared, name)
      // What it needs has been declared meanwhile, so it stands behind that.
      this.#declared.set(declared.oid, { name, lines })
    }
    imports.add('', name)
    if (type.kind === 'multirange') return called(`${name}.multirange`)
    return called(type.kind === 'range' ? `${name}.range` : name)
  }

  #source(type: CatalogType, name: string): string[] {
    const schema = this.#schemaOf(type.schema)
    const where = schema === null ? [] : [`schema: ${quote(schema)}`]
    const options = (more: readonly string[]): string => {
      const all = [...where, ...more]
      return all.length === 0 ? '' : `, { ${all.join(', ')} }`
    }
    const { imports } = this
    switch (type.kind) {
      case 'enum': {
        const labels = `${name}Labels`
        return [
          `export const ${labels} = [${type.labels.map(quote).join(', ')}] as const`,
          `export type ${pascal(wordsOf(name))}Label = (typeof ${labels})[number]`,
          `export const ${name} = ${imports.add(PACKAGE, 'enumType')}(${quote(type.name)}, ${labels}${options([])})`,
        ]
      }
      case 'domain': {
        const {
          base,
          modifier,
          typeText,
          dimensions,
          notNull,
          checks,
          default: filled,
        } = type.domain as NonNullable<CatalogType['domain']>
        const below = this.column({ type: base, modifier, typeText, dimensions }, imports)
        const more = [
          ...(notNull ? ['notNull: true'] : []),
          ...(filled === null ? [] : [`default: ${this.#sql(filled)}`]),
          ...(checks.length === 0
            ? []
            : [
                `checks: { ${checks.map((check) => `${key(check.name)}: ${this.#sql(check.expression)}`).join(', ')} }`,
              ]),
        ]
        return [
          `export const ${name} = ${imports.add(TYPES, 'domainType')}(${quote(type.name)}, ${below}${options(more)})`,
        ]
      }
      case 'composite': {
        const taken = new Set<string>()
        const fields = type.fields.map((field) => {
          const made = camel(wordsOf(field.name))
          let property = /^[\p{ID_Start}_$]/u.test(made) ? made : `_${made}`
          while (taken.has(property) || ['__proto__', 'constructor', 'then'].includes(property))
            property = `${property}_`
          taken.add(property)
          return `  ${property}: ${this.column(field, imports, property === field.name ? undefined : field.name)},`
        })
        return [
          `export const ${name} = ${imports.add(TYPES, 'compositeType')}(${quote(type.name)}, {`,
          ...fields,
          `}${options([])})`,
        ]
      }
      default: {
        const { subtype, difference, multirange } = type.range as NonNullable<CatalogType['range']>
        const below = this.#catalog.types.get(subtype)
        const bound = { type: subtype, modifier: -1, typeText: below?.name ?? '', dimensions: 0 }
        const more = [
          ...(multirange === null ? [] : [`multirange: ${quote(multirange)}`]),
          ...(difference === null ? [] : [`with: ${quote(`subtype_diff = ${difference}`)}`]),
        ]
        return [
          `export const ${name} = ${imports.add(TYPES, 'rangeType')}(${quote(type.name)}, ${this.column(bound, imports)}${options(more)})`,
        ]
      }
    }
  }

  #sql(text: string): string {
    this.imports.add(PACKAGE, 'sql')
    return sqlTag(text)
  }

  /** A type that is read as text is reported once. */
  tell(where: string, { note }: TypeExpression): void {
    if (note !== null) this.#findings.add('hint', where, note)
  }
}

function called(call: string, options: string | null = null): TypeExpression {
  return { call, options, modifiers: '', note: null }
}
