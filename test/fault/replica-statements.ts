/** What is read from replicas, and from which server it came. */
export interface Seen {
  readonly port: number
  readonly n: number
}

export const WHERE = "select current_setting('port')::int as port, n from notes where id = $1"
