/** Appends a hint to the message of an error, also in its stack. */
export function addHint(error: Error, hint: string): void {
  const { message, stack } = error
  if (message.endsWith(hint)) return
  error.message = message + hint
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message)
}
