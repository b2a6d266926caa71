/** What differs between two installations of the service, read once from the environment. */
export const settings = {
  /** Without it the PG* variables say where the database is. */
  databaseUrl: process.env.DATABASE_URL,
  /** Print SQL and log requests. */
  debug: process.env.DEBUG === 'true',
  host: process.env.HOST ?? '127.0.0.1',
  port: Number(process.env.PORT ?? 3000),
}
