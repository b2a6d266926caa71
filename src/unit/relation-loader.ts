/** Loads relations: one statement per relation for any number of objects; statements of one level share a batch. */
import { IllegalStateError } from '../errors.js'
import { metaOf, type RawRow } from '../schema/entity-meta.js'
import { filtersOfRelated, type WithoutFilters } from '../schema/filters.js'
import { selectByKeys, selectRelated, type LoadStatement } from '../query/key-statements.js'
import { selectPart } from '../query/relation-part.js'
import type { Relation, RelationLoad, RelationPart } from '../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { IdentityMap } from './identity-map.js'
import type { InstanceState } from './instance-state.js'
import { noteRelation, type Journal } from './journal.js'
import type { Loader, LoadMode } from './loader.js'
import { hasWhole } from './partial-collections.js'
import {
  differenceOf,
  heldBy,
  isPartlyKnown,
  needsNoQuery,
  rememberedBy,
  rememberStored,
  rememberPart,
  unload,
} from './relation-values.js'

/** Rows that were read. */
export interface Fetched {
  readonly rows: readonly RawRow[]
  /** The revision of the identity map when the statement was queued. */
  readonly revision: number
}

/** Runs a statement that reads. */
export type Fetch = (statement: LoadStatement) => Promise<Fetched>

/** Owners that refer to the same key. */
interface OwnersOfKey {
  readonly key: EncodedText[]
  readonly owners: InstanceState[]
}

/** What is loaded with, or behind, the objects of one relation. */
interface Branch {
  readonly deeper: RelationLoad[]
  readonly undefer: string[]
}

interface RecallOptions {
  readonly mode?: LoadMode
  /** Only loads the related objects: the relations of the owners stay as they are. Default false. */
  readonly keepsRelations?: boolean
  /** Adds to the loaded relations what filters had hidden, and keeps their unflushed changes. Default false. */
  readonly addsHidden?: boolean
  readonly lacking?: readonly TableColumn[]
}

export class RelationLoader {
  readonly #identities: IdentityMap
  readonly #journal: Journal
  readonly #loader: Loader
  readonly #fetch: Fetch

  constructor(identities: IdentityMap, journal: Journal, loader: Loader, fetch: Fetch) {
    this.#identities = identities
    this.#journal = journal
    this.#loader = loader
    this.#fetch = fetch
  }

  /**
   * Loads the relations of the paths. Relations that are loaded or assigned already stay as they are.
   * @param owners Objects of one entity.
   * @param without The filters that do not apply to the related entities.
   */
  async load(
    owners: readonly InstanceState[],
    paths: readonly RelationLoad[],
    without: WithoutFilters,
  ): Promise<void> {
    const [first] = owners
    if (first === undefined) return
    const branches = new Map<string, Branch>()
    const parts: RelationPart[] = []
    for (const given of paths) {
      if (typeof given !== 'string' && 'relation' in given) {
        parts.push(given)
        continue
      }
      const { path, undefer } = typeof given === 'string' ? { path: given, undefer: [] } : given
      const [name = '', ...rest] = path.split('.')
      const branch = branches.get(name) ?? { deeper: [], undefer: [] }
      branches.set(name, branch)
      if (rest.length > 0) branch.deeper.push({ path: rest.join('.'), undefer })
      else branch.undefer.push(...undefer)
    }
    await Promise.all([
      ...parts.map((part) => this.#loadPart(owners, part, without)),
      ...[...branches].map(async ([name, { deeper, undefer }]) => {
        const relation = first.meta.relations.get(name) as Relation
        const lacking = metaOf(relation.target).table.deferredExcept(undefer)
        await this.recall(
          owners.filter((owner) => !needsNoQuery(owner, name)),
          relation,
          without,
          { lacking },
        )
        if (deeper.length + undefer.length === 0) return
        const related = new Set(owners.flatMap((owner) => heldBy(owner, relation)))
        await this.#complete([...related], undefer, lacking)
        await this.load([...related], deeper, without)
      }),
    ])
  }

  /** Loads deferred columns, also expired ones, of objects that were here before their relation was asked for. */
  async #complete(
    states: readonly InstanceState[],
    undefer: readonly string[],
    lacking: readonly TableColumn[],
  ): Promise<void> {
    const lackingSome = states.filter(
      ({ instance, meta, status }) =>
        status === 'persistent' &&
        undefer
          .map((name) => meta.table.column(name))
          .some((column) => meta.isMissing(instance, column) || meta.isExpired(instance, column)),
    )
    const [first] = lackingSome
    if (first === undefined) return
    const keys = lackingSome.map(({ key }) => key)
    const { rows, revision } = await this.#fetch(selectByKeys(first.meta.table, keys, lacking))
    this.#loader.states(first.meta, rows, revision, 'keep', lacking)
  }

  /** Sets the property of a relation to a part of it. The relation itself still counts as not loaded. */
  async #loadPart(
    owners: readonly InstanceState[],
    part: RelationPart,
    without: WithoutFilters,
  ): Promise<void> {
    const { name, ownColumns, target } = part.relation
    for (const owner of owners) requireUnchanged(owner, part.relation)
    const keys = owners.map((owner) => ownColumns.map((column) => owner.text(column) ?? null))
    const isKeyed = keys.map((key) => !key.includes(null))
    const asked = owners.filter((_, index) => isKeyed[index])
    const parts = new Map<InstanceState, object[]>(owners.map((owner) => [owner, []]))
    let loads = this.#journal.loads(this.#identities.revision)
    if (asked.length > 0) {
      const statement = selectPart(
        part,
        keys.filter((_, index) => isKeyed[index]),
        filtersOfRelated(part.relation, without),
      )
      const { rows, revision } = await this.#fetch(statement)
      if (this.#identities.isRolledBack(revision)) return
      const related = this.#loader.states(
        metaOf(target),
        rows.map((row) => row.slice(1)),
        revision,
        'keep',
        part.lacking,
      )
      loads = this.#journal.loads(revision)
      for (const [index, row] of rows.entries()) {
        const owner = asked[Number(row[0]) - 1] as InstanceState
        parts.get(owner)?.push((related[index] as InstanceState).instance)
      }
    }
    for (const [owner, objects] of parts) {
      requireUnchanged(owner, part.relation)
      unload(owner, name)
      rememberPart(owner, name, objects)
      if (loads !== undefined) noteRelation(loads, owner, name)
    }
  }

  /**
   * Loads the stored objects of a relation, to compare with the assigned ones. An assigned relation keeps its value.
   * @param owners Objects of one entity.
   * @param without The filters that do not apply to the related entity.
   * @param how `mode`: how the rows change objects that the session holds already. `lacking`: the deferred columns that are not read.
   */
  async recall(
    owners: readonly InstanceState[],
    relation: Relation,
    without: WithoutFilters,
    {
      mode = 'keep',
      keepsRelations = false,
      addsHidden = false,
      lacking = metaOf(relation.target).table.deferred,
    }: RecallOptions = {},
  ): Promise<void> {
    const wanted = new Map<string, OwnersOfKey>()
    for (const owner of owners) {
      const key = relation.ownColumns.map((column) => owner.text(column) ?? null)
      const present = this.#targetInMemory(relation, key)
      if (present !== undefined) {
        if (keepsRelations) continue
        this.#loaded(owner, relation, present === null ? [] : [present], this.#identities.revision)
        continue
      }
      const id = JSON.stringify(key)
      const entry = wanted.get(id)
      if (entry === undefined) wanted.set(id, { key, owners: [owner] })
      else entry.owners.push(owner)
    }
    if (wanted.size === 0) return
    const statement = selectRelated(
      relation,
      [...wanted.values()].map(({ key }) => key),
      filtersOfRelated(relation, without),
      lacking,
    )
    const { rows, revision } = await this.#fetch(statement)
    // These rows were rolled back.
    if (this.#identities.isRolledBack(revision)) return
    const count = statement.ownerColumns
    const related = this.#loader.states(
      metaOf(relation.target),
      rows.map((row) => row.slice(count)),
      revision,
      mode,
      lacking,
    )
    const found = new Map<string, InstanceState[]>()
    const keyColumns = relation.link?.own ?? relation.targetColumns
    const ids = [...wanted.keys()]
    for (const [index, row] of rows.entries()) {
      const id = statement.byOrdinal
        ? (ids[Number(row[0]) - 1] as string)
        : JSON.stringify(keyColumns.map((column, at) => column.canonicalOf(row[at] ?? null)))
      const members = found.get(id) ?? []
      found.set(id, members)
      const member = related[index] as InstanceState
      members.push(member)
      if (statement.byOrdinal)
        noteSpellings(relation, wanted.get(id) as OwnersOfKey, member, row.slice(count))
    }
    if (keepsRelations) return
    for (const [id, entry] of wanted) {
      for (const owner of entry.owners) {
        const members = found.get(id) ?? []
        if (addsHidden) addHidden(owner, relation, members)
        this.#loaded(owner, relation, members, revision)
      }
    }
  }

  /** The target of a `belongsTo` that the session has already; null if the foreign key is NULL; undefined if a query is needed. */
  #targetInMemory(relation: Relation, key: readonly EncodedText[]): InstanceState | null | undefined {
    if (key.includes(null)) return null
    if (relation.kind !== 'belongsTo') return undefined
    const target = metaOf(relation.target)
    const { primaryKey } = target.table
    // In the order of the key, if the relation leads to the key.
    const ordered = primaryKey.map((column) => key[relation.targetColumns.indexOf(column)])
    if (ordered.length !== key.length || ordered.includes(undefined)) return undefined
    const identity = target.identityOfKey(ordered as EncodedText[])
    const present = this.#identities.of(target).get(identity)
    return present?.expired === undefined ? present : undefined
  }

  /** Notes what a relation holds in the database. @param revision The revision of the identity map when the statement was queued. */
  #loaded(
    owner: InstanceState,
    relation: Relation,
    members: readonly InstanceState[],
    revision: number,
  ): void {
    const { instance } = owner
    const { name, many } = relation
    const objects = members.map((member) => member.instance)
    const keepsValue = needsNoQuery(owner, name)
    // An array that was assigned over a part, while this was read: compared with the whole relation, it would remove the others.
    if (keepsValue && isPartlyKnown(owner, relation)) return
    rememberStored(owner, relation, objects)
    const loads = this.#journal.loads(revision)
    if (loads !== undefined) noteRelation(loads, owner, name)
    if (!keepsValue) instance[name] = many ? [...objects] : (objects[0] ?? null)
  }
}

/** Adds the stored objects to a relation that it did not hold when it was loaded. Objects that were removed since then stay removed. */
function addHidden(owner: InstanceState, relation: Relation, stored: readonly InstanceState[]): void {
  const { instance } = owner
  const loaded = new Set(rememberedBy(owner, relation))
  const hidden = stored.filter((member) => !loaded.has(member))
  if (hidden.length === 0 || Object.isFrozen(instance)) return
  const held = new Set([...heldBy(owner, relation), ...hidden])
  instance[relation.name] = [...held].map((member) => member.instance)
}

/** Loading a part replaces the loaded relation. @throws IllegalStateError if that would lose changes. */
function requireUnchanged(owner: InstanceState, relation: Relation): void {
  const { instance, meta } = owner
  const { name } = relation
  if (!hasWhole(instance, name) || differenceOf(owner, relation) === undefined) return
  throw new IllegalStateError(
    `A part of ${meta.name}.${name} was to be loaded, but the object has changes of ${name} that were not flushed: ` +
      'call flush() first, or query the related entity itself',
  )
}

/**
 * Notes that a foreign key equals a key that is written differently, as PostgreSQL has found.
 * @param row The compared row: the object itself may have unflushed changes.
 */
function noteSpellings(
  { kind, ownColumns, targetColumns }: Relation,
  { key, owners }: OwnersOfKey,
  member: InstanceState,
  row: RawRow,
): void {
  if (kind === 'manyToMany') return
  for (const [index, target] of targetColumns.entries()) {
    const [own, other] = [key[index] ?? null, target.canonicalOf(row[target.index] ?? null)]
    if (own === null || other === null || own === other) continue
    if (kind === 'belongsTo')
      for (const owner of owners) owner.noteSpelling(ownColumns[index] as TableColumn, own, other)
    else member.noteSpelling(target, other, own)
  }
}
