/** Types for the part of node-postgres that converts parameters, which its published types leave out. */
declare module 'pg/lib/utils.js' {
  const utils: { prepareValue(value: unknown): unknown }
  export default utils
}
