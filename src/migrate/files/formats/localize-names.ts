/** Takes a hard-coded schema `public` away from in front of what tenant migrations create, and finds what stays. */
import {
  type Fields,
  findNodes,
  nameParts,
  scanTokens,
  splitStatements,
  type SqlToken,
} from '../../shared-form/sql-nodes.ts'

/** What names may mean. */
export interface KnownNames {
  /** What tenant migrations create. */
  readonly own: ReadonlySet<string>
  /** What shared migrations create. */
  readonly shared: ReadonlySet<string>
}

/** A text without `public` in front of what is the tenant's, its lines as they were; or a name that is nobody's. */
export type Localized = { readonly text: string } | { readonly object: string; readonly at: number }

/** Stands for the tenant's schema where a tool insists on one. */
const SENTINEL = '__tenant__'

interface Cut {
  readonly start: number
  readonly end: number
}

/** Call `loadParser()` of sql/statement.ts first. @param text must be one that the parser accepts. */
export function localizeNames(text: string, known: KnownNames): Localized {
  if (!/public|__tenant__/i.test(text)) return { text }
  const cuts: Cut[] = []
  for (const statement of splitStatements(text)) {
    const { node, fields, at } = statement
    if (node === 'CreateSchemaStmt' && /^(public|__tenant__)$/.test(String(fields['schemaname']))) {
      cuts.push({ start: at, end: at + statement.text.length })
      continue
    }
    const hasBody = /^(Do|CreateFunction)Stmt$/.test(node)
    const reader = { known, harmless: namesWithoutRows(fields), hasBody, inBody: false }
    const stray = findCuts(statement.text, at, reader, cuts)
    if (stray !== undefined) return stray
  }
  return { text: cutAll(text, cuts) }
}

interface Reader {
  readonly known: KnownNames
  readonly harmless: ReadonlySet<string>
  readonly hasBody: boolean
  readonly inBody: boolean
}

type Stray = Exclude<Localized, { readonly text: string }>

function findCuts(text: string, offset: number, reader: Reader, cuts: Cut[]): Stray | undefined {
  const { known, harmless, hasBody, inBody } = reader
  if (/^\s*$/.test(text)) return undefined
  const tokens = scanTokens(text)
  for (const [index, token] of tokens.entries()) {
    const at = offset + token.start
    if (/^\$[^0-9]/.test(token.text) && hasBody) {
      const mark = /^\$[^$]*\$/.exec(token.text)?.[0] ?? ''
      const body = token.text.slice(mark.length, -mark.length)
      const stray = findCuts(body, at + mark.length, { ...reader, hasBody: false, inBody: true }, cuts)
      if (stray !== undefined) return stray
      continue
    }
    if (token.text.startsWith("'")) {
      const name = /^'"?public"?\."?([^".]+)"?'$/i.exec(token.text)?.[1]
      const dot = token.text.indexOf('.')
      if (name !== undefined && (inBody || meansObject(tokens, index))) {
        if (known.own.has(name)) cuts.push({ start: at + 1, end: at + dot + 1 })
        else if (!known.shared.has(name)) return { object: token.text, at }
      } else if ((inBody || hasBody) && /(^|[^\w"])"?public"?\./i.test(token.text)) {
        return { object: token.text, at }
      }
      continue
    }
    const [dot, object] = [tokens[index + 1], tokens[index + 2]]
    if (dot?.text !== '.' || object === undefined || tokens[index - 1]?.text === '.') continue
    const schema = nameOf(token)
    if (schema !== 'public' && schema !== SENTINEL) continue
    const name = nameOf(object)
    if (schema === SENTINEL || known.own.has(name)) cuts.push({ start: at, end: offset + dot.end })
    else if (!known.shared.has(name) && !harmless.has(name)) return { object: `public.${name}`, at }
  }
  return undefined
}

/** Functions and types that a statement uses hold no rows: they may be an extension's. */
function namesWithoutRows(fields: Fields): ReadonlySet<string> {
  const used = [
    ...findNodes(fields, 'FuncCall').map(({ funcname }) => funcname),
    ...['TypeName', 'typeName', 'argType', 'returnType'].flatMap((key) =>
      findNodes(fields, key).map(({ names }) => names),
    ),
  ]
  return new Set(used.map((names) => nameParts(names).at(-1) ?? ''))
}

/** `'public.orders'::regclass`, and the name that functions of sequences are given. */
function meansObject(tokens: readonly SqlToken[], index: number): boolean {
  const [behind, kind] = [tokens[index + 1]?.text, tokens[index + 2]?.text.toLowerCase() ?? '']
  if (behind === '::' && /^reg(class|type|proc|procedure)$/.test(kind)) return true
  const caller = tokens[index - 2]?.text.toLowerCase() ?? ''
  return tokens[index - 1]?.text === '(' && /^(nextval|setval|currval|to_regclass|to_regtype)$/.test(caller)
}

/** As PostgreSQL reads it: folded, or as it stands between quotes. */
function nameOf({ text }: SqlToken): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase()
}

function cutAll(text: string, cuts: readonly Cut[]): string {
  let result = ''
  let taken = 0
  for (const { start, end } of cuts) {
    // Lines of messages are those of the file.
    result += text.slice(taken, start) + text.slice(start, end).replace(/[^\n]+/g, '')
    taken = end
  }
  return result + text.slice(taken)
}
