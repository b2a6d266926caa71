/** Which statements may share a connection with those of other sessions (`pipelining`). */
import { describe, expect, test } from 'vitest'
import { OperationQueue } from '../../../src/pipeline/operation-queue.js'
import { Operation, type OperationKind } from '../../../src/pipeline/operation.js'
import { SharedReads, type PipelineFacts, type PipelineState } from '../../../src/pipeline/shared-reads.js'
import { OWNER } from './operations.js'

const SESSION: PipelineFacts = { autocommit: true, releaseWhenIdle: true }
const ALONE: PipelineState = { standsAlone: true, abandoned: undefined }
const READ = 'select title from songs where id = $1'

function reads(now = () => 0): SharedReads {
  return new SharedReads({ now, setTimer: () => ({ cancel: () => undefined }) })
}

function statement(text: string, kind: OperationKind = 'statement', portal?: string): Operation {
  return new Operation(OWNER, kind, { text, portal })
}

function queueOf(...operations: Operation[]): OperationQueue {
  const queue = new OperationQueue()
  for (const operation of operations) queue.push(operation)
  return queue
}

describe('by its text', () => {
  const shared = [
    READ,
    'SELECT count(*), lower(title) FROM songs GROUP BY 2',
    'with late as (select * from songs where at > now()) select * from late',
    'values (1), (2)',
    'table songs',
    'show timezone',
  ]
  const alone = [
    'insert into songs values (1)',
    'update songs set title = $1',
    'delete from songs',
    'merge into songs using other on true when matched then delete',
    'with gone as (delete from songs returning *) select * from gone',
    'select * into temp copied from songs',
    'create temporary table copied as select * from songs',
    'select * from songs for update',
    'select * from songs for key share',
    "set search_path = 'other'",
    'reset all',
    "select set_config('app.tenant', '1', false)",
    'select pg_advisory_lock(1)',
    'select pg_try_advisory_lock_shared(1)',
    'select setseed(0.5)',
    "select nextval('songs_id_seq')",
    "select pg_notify('songs', '')",
    'select a_function_of_the_user(1)',
    'select public.lower(title) from songs',
    'select lo_create(0)',
    'listen songs',
    'unlisten *',
    'notify songs',
    'declare songs_cursor cursor with hold for select 1',
    'fetch all from songs_cursor',
    'prepare find as select 1',
    'execute find',
    'deallocate all',
    'discard temp',
    'begin',
    'commit',
    'lock table songs',
    'call a_procedure()',
    'do $$ begin end $$',
    'explain analyze delete from songs',
    'vacuum songs',
    "select E'\\''",
    '',
  ]
  test.each(shared)('shared: %s', (text) => {
    const operation = statement(text)
    expect(reads().nextOf(SESSION, queueOf(operation), ALONE)).toBe(operation)
  })
  test.each(alone)('alone: %s', (text) => {
    expect(reads().nextOf(SESSION, queueOf(statement(text)), ALONE)).toBeUndefined()
  })
})

describe('by its place', () => {
  test.each<[string, PipelineFacts, PipelineState]>([
    ['inside a transaction', { ...SESSION, autocommit: false }, { ...ALONE, standsAlone: false }],
    ['in a block of an autocommit session', SESSION, { ...ALONE, standsAlone: false }],
    ['on a connection that is held', { ...SESSION, releaseWhenIdle: false }, ALONE],
    ['of a session that was given up', SESSION, { ...ALONE, abandoned: new Error('gone') }],
  ])('%s: alone', (_, facts, state) => {
    expect(reads().nextOf(facts, queueOf(statement(READ)), state)).toBeUndefined()
  })

  test('a page of a cursor: alone', () => {
    expect(reads().nextOf(SESSION, queueOf(statement(READ, 'statement', 'portal')), ALONE)).toBeUndefined()
  })

  test.each<OperationKind>(['step', 'check', 'commit', 'rollback', 'rollbackTo', 'exclusive'])(
    'a %s: alone',
    (kind) => {
      expect(reads().nextOf(SESSION, queueOf(statement(READ, kind)), ALONE)).toBeUndefined()
    },
  )

  test('several statements of a session stay together, its end may follow', () => {
    const first = statement(READ)
    const commit = statement('COMMIT', 'commit')
    expect(reads().nextOf(SESSION, queueOf(first, statement(READ)), ALONE)).toBeUndefined()
    first.next = undefined
    expect(reads().nextOf(SESSION, queueOf(first, commit), ALONE)).toBe(first)
    first.next = undefined
    const queue = queueOf(first)
    queue.endWith({ queued: () => commit })
    expect(reads().nextOf(SESSION, queue, ALONE, true)).toBe(first)
    expect(queue.first).toBe(commit)
  })
})

test('a text that was slow is alone for a minute', () => {
  let now = 0
  const shared = reads(() => now)
  shared.noteSlow(READ)
  expect(shared.nextOf(SESSION, queueOf(statement(READ)), ALONE)).toBeUndefined()
  expect(shared.nextOf(SESSION, queueOf(statement('select 1')), ALONE)).toBeDefined()
  now = 60_000
  expect(shared.nextOf(SESSION, queueOf(statement(READ)), ALONE)).toBeDefined()
})

test('only so many slow texts are remembered', () => {
  const shared = reads()
  for (let text = 0; text <= 500; text++) shared.noteSlow(`select ${text}`)
  expect(shared.nextOf(SESSION, queueOf(statement('select 0')), ALONE)).toBeDefined()
  expect(shared.nextOf(SESSION, queueOf(statement('select 500')), ALONE)).toBeUndefined()
})

describe('how long the reads of a text take', () => {
  test('is not known before one was measured', () => {
    expect(reads().timeOf(READ)).toBeUndefined()
  })

  test('is a mean in which a single long time counts little', () => {
    const shared = reads()
    for (let run = 0; run < 100; run += 1) shared.noteTime(READ, 0.1)
    shared.noteTime(READ, 8.1)
    expect(shared.timeOf(READ)).toBeCloseTo(1.1)
    for (let run = 0; run < 100; run += 1) shared.noteTime(READ, 4)
    expect(shared.timeOf(READ)).toBeCloseTo(4)
  })

  test('is kept for a bounded number of texts', () => {
    const shared = reads()
    for (let text = 0; text < 501; text += 1) shared.noteTime(`select ${text}`, 1)
    expect(shared.timeOf('select 0')).toBeUndefined()
    expect(shared.timeOf('select 500')).toBe(1)
  })
})
