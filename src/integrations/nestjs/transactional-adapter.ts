/** The adapter for `@nestjs-cls/transactional`: its `@Transactional()` and `TransactionHost` with sessions. */
import { IllegalStateError, type Session, type SessionFactory, type WithSessionOptions } from '../../index.js'
import { sessionFactoryToken } from './tokens.js'

/** Options of `@Transactional`. */
export type TransactionalOptions = Omit<WithSessionOptions, 'propagation'>

/** What is used of the plugin's contract. */
interface Wrapping<S> {
  wrapWithTransaction<Value>(
    options: TransactionalOptions,
    work: () => Promise<Value>,
    setTx: (tx?: S) => void,
  ): Promise<Value>
  wrapWithNestedTransaction<Value>(
    options: TransactionalOptions,
    work: () => Promise<Value>,
    setTx: (tx?: S) => void,
    tx: S,
  ): Promise<Value>
  getFallbackInstance(): S
}

/**
 * `@Transactional()` opens a session of its own, on a connection of its own: committed when the method returns, rolled back when
 * it throws. `Propagation.Nested` is a savepoint. Outside of it, `TransactionHost.tx` is the session of the request; without one
 * it throws, so that a missing `@Transactional()` is found.
 *
 * @example
 * new ClsPluginTransactional({ adapter: new TransactionalAdapterLifeguard() })
 */
export class TransactionalAdapterLifeguard<S extends Session = Session> {
  readonly connectionToken: string
  readonly defaultTxOptions: TransactionalOptions

  /** @param name Of the engine, as given to `forRoot`. */
  constructor({
    name,
    defaultTxOptions = {},
  }: { readonly name?: string; readonly defaultTxOptions?: TransactionalOptions } = {}) {
    this.connectionToken = sessionFactoryToken(name)
    this.defaultTxOptions = defaultTxOptions
  }

  readonly optionsFactory = (sessionFactory: SessionFactory<S>): Wrapping<S> => ({
    wrapWithTransaction: (options, work, setTx) =>
      sessionFactory.withSession(
        async (session) => {
          setTx(session)
          return await work()
        },
        { ...options, propagation: 'requiresNew' },
      ),
    wrapWithNestedTransaction: (_options, work, setTx, tx) =>
      tx.beginNested(async () => {
        setTx(tx)
        return await work()
      }),
    getFallbackInstance: () => {
      const session = sessionFactory.current()
      if (session !== undefined) return session
      throw new IllegalStateError(
        'TransactionHost.tx was used outside of a transaction: put @Transactional() on the method that uses it, or on one that calls it',
      )
    },
  })
}
