import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'

// Few rules, each for a mistake that the compiler lets pass. Style is prettier's, structure test/architecture.test.ts's.
export default defineConfig(
  { ignores: ['.cache/**', 'dist', 'coverage', 'bench', '**/node_modules', 'test/package/consumer'] },
  {
    files: ['**/*.ts'],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: 'tsconfig.test.json', tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { noInlineConfig: true },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingUnknown: true }],
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],
    },
  },
  {
    files: ['test/libraries/*.ts'],
    languageOptions: { parserOptions: { project: 'test/libraries/tsconfig.json' } },
  },
  // Next resolves imports without an extension, and not those of ./name.js to ./name.ts.
  { files: ['examples/next/**/*.ts'], languageOptions: { parserOptions: { project: 'tsconfig.next.json' } } },
  { files: ['src/**/*.ts'], rules: { 'no-console': 'error' } },
)
