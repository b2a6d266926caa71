/** Converts names of tables and columns to names in JavaScript: words, singular, plural. */

import { UNCOMMON_LETTER } from './source-text.js'

const BETWEEN_WORDS = new RegExp(`(?:[^\\p{ID_Continue}]|_|${UNCOMMON_LETTER.source})+`, 'u')

/** The words of a name: `customerId`, `customer_id`, `Customer Id` and `CUSTOMER-ID` have the same ones. */
export function wordsOf(name: string): string[] {
  return name
    .replaceAll(/(\p{Ll}|\p{N})(\p{Lu})/gu, '$1 $2')
    .replaceAll(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1 $2')
    .split(BETWEEN_WORDS)
    .filter((word) => word !== '')
    .map((word) => word.toLowerCase())
}

export function camel(words: readonly string[]): string {
  return words.map((word, index) => (index === 0 ? word : capital(word))).join('')
}

export function pascal(words: readonly string[]): string {
  return words.map(capital).join('')
}

function capital(word: string): string {
  const first = word.charAt(0).toUpperCase()
  // Some small letters are common, and their capital is not.
  return UNCOMMON_LETTER.test(first) ? word : first + word.slice(1)
}

const SAME = new Set([
  'data',
  'news',
  'series',
  'species',
  'metadata',
  'information',
  'equipment',
  'sms',
  'status',
  'chassis',
  'analysis',
  'bus',
  'gas',
  'lens',
  'address',
  'media',
  'staff',
  'settings',
  'history',
  'inventory',
  'money',
  'audit',
  'log',
  'sheep',
  'fish',
  'feedback',
])
const IRREGULAR: readonly (readonly [string, string])[] = [
  ['person', 'people'],
  ['child', 'children'],
  ['man', 'men'],
  ['woman', 'women'],
  ['mouse', 'mice'],
  ['index', 'indexes'],
  ['status', 'statuses'],
  ['address', 'addresses'],
  ['analysis', 'analyses'],
  ['bus', 'buses'],
  ['gas', 'gases'],
  ['lens', 'lenses'],
  ['audit', 'audits'],
  ['log', 'logs'],
  ['history', 'histories'],
  ['inventory', 'inventories'],
  ['movie', 'movies'],
  ['cookie', 'cookies'],
  ['tie', 'ties'],
  ['quiz', 'quizzes'],
  ['hero', 'heroes'],
  ['leaf', 'leaves'],
  ['knife', 'knives'],
  ['life', 'lives'],
  ['matrix', 'matrices'],
]

/** The last word in the singular. */
export function singular(words: readonly string[]): string[] {
  return [...words.slice(0, -1), singularOf(words.at(-1) ?? '')]
}

/** The last word in the plural. */
export function plural(words: readonly string[]): string[] {
  return [...words.slice(0, -1), pluralOf(words.at(-1) ?? '')]
}

function singularOf(word: string): string {
  const irregular = IRREGULAR.find(([, many]) => many === word)
  if (irregular !== undefined) return irregular[0]
  if (SAME.has(word) || word.length < 4 || /(?:ss|us|is)$/.test(word) || !word.endsWith('s')) return word
  if (word.endsWith('ies')) return `${word.slice(0, -3)}y`
  if (/(?:ch|sh|x|z|ss)es$/.test(word)) return word.slice(0, -2)
  return word.slice(0, -1)
}

function pluralOf(word: string): string {
  const irregular = IRREGULAR.find(([one]) => one === word)
  if (irregular !== undefined) return irregular[1]
  if (IRREGULAR.some(([, many]) => many === word)) return word
  if (SAME.has(word)) return word
  if (/[^aeiou]y$/.test(word)) return `${word.slice(0, -1)}ies`
  if (/(?:ch|sh|x|z|ss|us)$/.test(word)) return `${word}es`
  if (word.endsWith('s')) return word
  return `${word}s`
}
