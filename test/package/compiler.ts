/** The compiler of the repository, in this process: what it has parsed and optimized for one project serves the next one. */
import { join } from 'node:path'
import ts from 'typescript'

/** Source files by the options that they were parsed for. */
const parsed = new Map<string, Map<string, ts.SourceFile | undefined>>()

/** What `tsc` does in the folder with a `tsconfig.json` of these contents. @returns What it prints: nothing if all is well. */
export function compileProject(
  folder: string,
  config: { readonly compilerOptions: object; readonly files: readonly string[] },
): string {
  const { options, fileNames, errors } = ts.parseJsonConfigFileContent(
    config,
    ts.sys,
    folder,
    undefined,
    join(folder, 'tsconfig.json'),
  )
  const host = ts.createCompilerHost(options)
  const parse = host.getSourceFile.bind(host)
  const { target, module, moduleResolution, strict } = options
  const libraries = fileMap(JSON.stringify([target, module, moduleResolution, strict]))
  host.getCurrentDirectory = () => folder
  host.getSourceFile = (name, ...how) => {
    // The project's own files may change between two calls.
    if (!name.endsWith('.d.ts') && !name.endsWith('.d.cts') && !name.endsWith('.d.mts'))
      return parse(name, ...how)
    if (!name.includes('/node_modules/')) return parse(name, ...how)
    if (!libraries.has(name)) libraries.set(name, parse(name, ...how))
    return libraries.get(name)
  }
  const program = ts.createProgram(fileNames, options, host)
  const problems = [...errors, ...ts.getPreEmitDiagnostics(program)]
  if (problems.length === 0) problems.push(...program.emit().diagnostics)
  return ts.formatDiagnostics(ts.sortAndDeduplicateDiagnostics(problems), {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => folder,
    getNewLine: () => '\n',
  })
}

function fileMap(key: string): Map<string, ts.SourceFile | undefined> {
  const known = parsed.get(key) ?? new Map<string, ts.SourceFile | undefined>()
  parsed.set(key, known)
  return known
}
