/** The `ts` blocks of a Markdown file, as modules that the compiler can check. */

/** One fenced block. */
export interface Block {
  /** Line of the file at which the code starts, from 1. */
  readonly line: number
  /** What a comment before the block adds to it; see {@link blocksOf}. */
  readonly prelude: string
  readonly code: string
}

/**
 * Every block is a module of its own. What a block leaves out for its reader's sake stands in a comment right before it, which
 * only the compiler sees: `<!-- ts: declare const id: string -->`.
 */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  for (const match of markdown.matchAll(/(?:<!-- ts:([^]*?)-->\s*)?^( *)```ts\n([^]*?)^ *```$/gm)) {
    const [all, prelude = '', indent = '', code = ''] = match
    const start = match.index + all.indexOf('```ts\n') + '```ts\n'.length
    blocks.push({
      line: markdown.slice(0, start).split('\n').length,
      prelude: prelude.trim(),
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    })
  }
  return blocks
}
