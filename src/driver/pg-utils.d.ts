/** The part of node-postgres that its published types leave out and that its own parameters go through. */
declare module 'pg/lib/utils.js' {
  const utils: { prepareValue(value: unknown): unknown }
  export default utils
}
