/** The project's documents as tests read them: their code blocks, their headings, their links. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, posix } from 'node:path'

/** A fenced block. */
export interface Block {
  /** `ts`, `sh`, `text` … */
  readonly language: string
  /** What follows the language: `run`, `file=server.ts`, `sketch`, `prints`. */
  readonly use: string
  readonly code: string
  /** Where it stands, for messages: `README.md:12`. */
  readonly at: string
}

/** One Markdown file. */
export interface Page {
  /** From the root of the repository. */
  readonly path: string
  readonly blocks: readonly Block[]
  /** What can follow `#` in a link to this page. */
  readonly anchors: ReadonlySet<string>
  /** Targets of links as they are written, those to other sites left out. */
  readonly links: readonly string[]
}

const FENCE = /^```([a-z]+) ?([^\n]*)\n(.*?)^```$/gms

/** Reads every page of the repository. */
export function readPages(): Page[] {
  return globSync(['*.md', 'docs/**/*.md', 'examples/*.md']).map((file) =>
    readPage(file.replaceAll('\\', '/')),
  )
}

function readPage(path: string): Page {
  const text = readFileSync(path, 'utf8')
  const blocks = [...text.matchAll(FENCE)].map(({ 1: language = '', 2: use = '', 3: code = '', index }) => ({
    language,
    use,
    code,
    at: `${path}:${text.slice(0, index).split('\n').length}`,
  }))
  const prose = text.replaceAll(FENCE, '')
  const links = [...prose.replaceAll(/`[^`\n]*`/g, '`').matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, target = '']) => target,
  )
  return {
    path,
    blocks,
    anchors: anchorsOf(prose),
    links: links.filter((target) => !/^[a-z]+:/.test(target)),
  }
}

/** As GitHub makes them: lower case, punctuation dropped, spaces to hyphens, a number for the second of a name. */
function anchorsOf(prose: string): Set<string> {
  const anchors = new Set([...prose.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id))
  const seen = new Map<string, number>()
  for (const [, heading = ''] of prose.matchAll(/^#{1,6} (.+)$/gm)) {
    const slug = heading
      .toLowerCase()
      .replaceAll(/\]\([^)]*\)/g, '')
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    anchors.add(count === 0 ? slug : `${slug}-${count}`)
  }
  return anchors
}

/** The file that a link of a page leads to, and the anchor in it. */
export function targetOf(page: Page, link: string): { file: string; anchor: string | undefined } {
  const [path = '', anchor] = link.split('#')
  return { file: path === '' ? page.path : posix.normalize(posix.join(dirname(page.path), path)), anchor }
}
