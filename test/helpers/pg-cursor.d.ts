/** pg-cursor has no types of its own. */
declare module 'pg-cursor' {
  import type { Connection } from 'pg'

  class Cursor<Row = Record<string, unknown>> {
    constructor(text: string, values?: readonly unknown[], config?: { rowMode?: 'array' })
    submit(connection: Connection): void
    read(rows: number): Promise<Row[]>
    read(rows: number, callback: (error: Error | undefined, rows: Row[]) => void): void
    close(): Promise<void>
    close(callback: (error?: Error) => void): void
  }
  export default Cursor
}
