/** What an editor says of one file of TypeScript that uses the library. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** Files that are parsed already, of all services in this process. */
const REGISTRY = ts.createDocumentRegistry()
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

export interface EditedFile {
  /** The text of what an editor shows at a position. */
  hover(position: number): string
  /** What an editor offers at a position. */
  completions(position: number): string[]
  /** Errors of the compiler, with the line that they are in, counted from 0. */
  errors(): { readonly line: number; readonly message: string }[]
}

/** @param name A file of this name need not exist. */
export function edit(name: string, source: string): EditedFile {
  const file = join(ROOT, name)
  const { options } = ts.parseJsonConfigFileContent(
    { extends: './tsconfig.test.json', compilerOptions: { noUnusedLocals: false }, files: [] },
    ts.sys,
    ROOT,
  )
  const host: ts.LanguageServiceHost = {
    ...ts.sys,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
    getCompilationSettings: () => options,
    getCurrentDirectory: () => ROOT,
    getDefaultLibFileName: (given) => ts.getDefaultLibFilePath(given),
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (path) => {
      const text = path === file ? source : ts.sys.readFile(path)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
  }
  const service = ts.createLanguageService(host, REGISTRY)
  return {
    hover: (position) =>
      ts.displayPartsToString(service.getQuickInfoAtPosition(file, position)?.displayParts),
    completions: (position) =>
      service.getCompletionsAtPosition(file, position, {})?.entries.map((entry) => entry.name) ?? [],
    errors: () =>
      service.getSemanticDiagnostics(file).map(({ start = 0, messageText }) => ({
        line: source.slice(0, start).split('\n').length - 1,
        message: ts.flattenDiagnosticMessageText(messageText, '\n'),
      })),
  }
}
