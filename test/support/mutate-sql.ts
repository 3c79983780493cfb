/** Random changes to SQL, most of which keep it readable: how an attacker would search for a hole in a reader of texts. */
import type { Random } from '../../bench/support/random.ts'

/** Comments, strings, names, numbers, signs and blanks: rough, since what it cuts wrongly is a mutation as well. */
const TOKEN =
  /--[^\n]*|\/\*[^]*?\*\/|\$(\w*)\$[^]*?\$\1\$|[EeUu]?&?'(?:''|[^'])*'|[Uu]&"[^"]*"|"(?:""|[^"])*"|\w+|\s+|::|[^]/g
const NAME = /^[A-Za-z_]\w*$/
/** Names that are no keywords, mostly: a keyword in quotes is none. */
const PLAIN =
  /^(?!(select|from|where|set|local|session|role|to|do|begin|end|as|on|is|in|not|null|and|or|with|create|table|temp|temporary|insert|into|update|delete|values|returning|copy|drop|alter|grant|reset|all|case|when|then|else|limit|order|by|group|having|exists|for|explain|analyze|declare|cursor|hold|prepare|execute|using|default|only|union|except|language|function|procedure|call|listen|notify|array|row|json_table|xmltable|passing|columns|merge|matched|false|true|lateral|cast|coalesce|int|text|over|filter|view|materialized|index|security|definer|returns)$)[a-z_]\w*$/i
const BLANKS = [' ', '\n', '\t', '/**/', '/* a */', '--x\n', '\f', ' /* /* */ */ ', '/*\n--*/']
const PREFIXES = ['pg_catalog.', '"pg_catalog".', 'public.', 'PG_CATALOG . ', 'U&"pg\\005fcatalog".']

type Mutation = (tokens: string[], random: Random, corpus: readonly string[]) => string[]

const pick = <T>(items: readonly T[], random: Random): T => items[Math.floor(random() * items.length)] as T
const place = (tokens: readonly string[], random: Random): number => Math.floor(random() * tokens.length)

/** Replaces one of the tokens that fit. */
function replaceOne(fits: RegExp, change: (token: string, random: Random) => string): Mutation {
  return (tokens, random) => {
    const places = tokens.flatMap((token, index) => (fits.test(token) ? [index] : []))
    if (places.length === 0) return tokens
    const at = pick(places, random)
    return tokens.with(at, change(tokens[at] ?? '', random))
  }
}

function escaped(name: string): string {
  return Array.from(name, (letter) => `\\${(letter.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`).join(
    '',
  )
}

const WRAPPERS: readonly ((sql: string) => string)[] = [
  (sql) => `(${sql})`,
  (sql) => `select * from (${sql}) s`,
  (sql) => `with x as (${sql}) select * from x`,
  (sql) => `with x as materialized (${sql}) delete from customers where false`,
  (sql) => `select (${sql})`,
  (sql) => `select array(${sql})`,
  (sql) => `select exists (${sql})`,
  (sql) => `insert into customers (email) ${sql}`,
  (sql) => `explain ${sql}`,
  (sql) => `explain analyze ${sql}`,
  (sql) => `explain (analyze, verbose) ${sql}`,
  (sql) => `copy (${sql}) to stdout`,
  (sql) => `declare c cursor for ${sql}`,
  (sql) => `declare c cursor with hold for ${sql}`,
  (sql) => `prepare p as ${sql}`,
  (sql) => `create table planted as ${sql}`,
  (sql) => `do $$ begin ${sql}; end $$`,
  (sql) => `do $$ begin execute '${sql.replaceAll("'", "''")}'; end $$`,
  (sql) => `select query_to_xml('${sql.replaceAll("'", "''")}', true, true, '')`,
  (sql) => `select 1; ${sql}`,
  (sql) => `${sql}; select 1`,
  (sql) => `${sql};`,
  (sql) => `begin; ${sql}; commit`,
  (sql) => `${sql} union all ${sql}`,
  (sql) => `create function planted() returns void language sql as '${sql.replaceAll("'", "''")}'`,
  (sql) => `merge into customers c using (${sql}) s on false when not matched then do nothing`,
]

/** The statement stays one, and says the same. */
const DISGUISES: readonly Mutation[] = [
  replaceOne(NAME, (name, random) =>
    Array.from(name, (letter) => (random() < 0.5 ? letter.toUpperCase() : letter.toLowerCase())).join(''),
  ),
  replaceOne(/^\s+$/, (_, random) => pick(BLANKS, random)),
  replaceOne(PLAIN, (name) => `"${name.toLowerCase()}"`),
  replaceOne(PLAIN, (name) => `U&"${escaped(name.toLowerCase())}"`),
  replaceOne(PLAIN, (name, random) => pick(PREFIXES, random) + name),
  replaceOne(NAME, (name) => `${name}/**/`),
  replaceOne(/^'/, (text) => `E${text}`),
  replaceOne(/^'/, (text) => `$q$${text.slice(1, -1)}$q$`),
  replaceOne(/^'/, (text) => `U&'${escaped(text.slice(1, -1))}'`),
  replaceOne(/^'/, (text) => `(${text}::text || '')`),
  (tokens, random) => tokens.toSpliced(place(tokens, random), 0, pick(BLANKS, random)),
]

/** Most of these are no SQL any more; those that are may say anything. */
const DISTORTIONS: readonly Mutation[] = [
  replaceOne(NAME, (_, random) =>
    pick(['local', 'session', 'role', 'none', 'default', 'only', 'lateral', 'null', 'all'], random),
  ),
  (tokens, random) => tokens.toSpliced(place(tokens, random), 1),
  (tokens, random) => {
    const at = place(tokens, random)
    return tokens.toSpliced(at, 0, tokens[at] ?? '', ' ')
  },
  (tokens, random) => {
    const [a, b] = [place(tokens, random), place(tokens, random)]
    return tokens.with(a, tokens[b] ?? '').with(b, tokens[a] ?? '')
  },
  // A piece of one attack in another.
  (tokens, random, corpus) => {
    const other = pick(corpus, random).match(TOKEN) ?? []
    const from = place(other, random)
    const piece = other.slice(from, from + 1 + Math.floor(random() * 8))
    return tokens.toSpliced(place(tokens, random), Math.floor(random() * 4), ' ', ...piece, ' ')
  },
  (tokens, random) => [pick(WRAPPERS, random)(tokens.join(''))],
  (tokens, random) => [pick(WRAPPERS, random)(tokens.join(''))],
  // A call where another call was, or a whole query.
  (tokens, random, corpus) => {
    const calls = pick(corpus, random).match(/[\w".&\\]+\s*\([^()]*\)/g)
    return calls === null ? tokens : tokens.with(place(tokens, random), ` ${pick(calls, random)} `)
  },
]

/** A share of the changes that leaves a good half of the results readable. */
const DISTORTED = 0.3

/** One of the corpus with one to four changes. */
export function mutate(corpus: readonly string[], random: Random): string {
  let tokens: string[] = pick(corpus, random).match(TOKEN) ?? []
  for (let changes = 1 + Math.floor(random() * 4); changes > 0; changes -= 1) {
    if (tokens.length > 0)
      tokens = pick(random() < DISTORTED ? DISTORTIONS : DISGUISES, random)(tokens, random, corpus)
    if (tokens.length === 1) tokens = tokens[0]?.match(TOKEN) ?? []
  }
  return tokens.join('')
}
