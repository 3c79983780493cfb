/** The layer picture in ARCHITECTURE.md from the imports of src/ (`npm run docs`; `--check` only compares). */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import dependencyRules from '../.dependency-cruiser.ts'
import { putPage, readPage } from './generated-page.ts'

/** Where the page is, from the root of the repository. */
export const ARCHITECTURE_PAGE = 'ARCHITECTURE.md'

const START = '<!-- layers: written by scripts/generate-architecture.ts, do not edit -->'
const END = '<!-- end of layers -->'
/** The files of src/ that wire the layers together. */
const ROOTS = 'roots'

/** What one folder of src/ imports: other folders, and packages. */
export interface FolderImports {
  readonly folders: ReadonlySet<string>
  readonly packages: ReadonlySet<string>
}

const IMPORT =
  /^(?:import|export)\b[^'"\n]*(?:\n[^'"]*?)?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm

/** The specifiers of every import in a text, those of types included. */
export function importsIn(text: string): string[] {
  // Comments hold examples, whose imports are the reader's.
  const code = text.replaceAll(/\/\*.*?\*\//gs, '')
  return [...code.matchAll(IMPORT)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? '')
}

/** `gateway` for `src/gateway/flight.ts`, `roots` for a file of src itself, `dev` for `dev/embedded.ts`. */
function folderOf(file: string): string {
  const [top = '', folder = '', ...rest] = file.split('/')
  return top === 'src' ? (rest.length === 0 ? ROOTS : folder) : top
}

/** Reads src/: every folder, and what it imports. */
export function readImports(): Map<string, FolderImports> {
  const root = join(import.meta.dirname, '..')
  const found = new Map<string, { folders: Set<string>; packages: Set<string> }>()
  for (const path of globSync('src/**/*.ts', { cwd: root }).sort()) {
    const file = path.replaceAll('\\', '/')
    const folder = folderOf(file)
    const entry = found.get(folder) ?? { folders: new Set(), packages: new Set() }
    found.set(folder, entry)
    for (const specifier of importsIn(readFileSync(join(root, file), 'utf8'))) {
      if (!specifier.startsWith('.')) {
        if (!specifier.startsWith('node:')) entry.packages.add(packageOf(specifier))
        continue
      }
      const target = folderOf(posix.join(dirname(file), specifier))
      if (target !== folder) entry.folders.add(target)
    }
  }
  return found
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

/** What each folder may import, from the rules that `npm run check -- layers` enforces. */
export function allowedImports(): Map<string, readonly string[]> {
  return new Map(
    (dependencyRules.forbidden ?? []).flatMap(({ name = '', comment = '' }) => {
      const [, folder] = /^layer-(.+)$/.exec(name) ?? []
      if (folder === undefined) return []
      const [, list = ''] = /imports only from: (.*)\.$/.exec(comment) ?? []
      return [[folder, list === 'nothing of ours' ? [] : list.split(', ')] as const]
    }),
  )
}

/** Folders of one layer have the same ones below them. The top layer first. */
function layersOf(folders: readonly string[], allowed: ReadonlyMap<string, readonly string[]>): string[][] {
  const byHeight = new Map<number, string[]>()
  for (const folder of folders) {
    const below = allowed.get(folder)
    if (below === undefined) throw new Error(`src/${folder} has no layer in .dependency-cruiser.ts`)
    byHeight.set(below.length, [...(byHeight.get(below.length) ?? []), folder])
  }
  return [...byHeight].sort(([a], [b]) => b - a).map(([, layer]) => layer.sort())
}

/** The picture and the table below it. */
export function renderLayers(): string {
  const imports = readImports()
  const allowed = allowedImports()
  const layers = layersOf(
    [...imports.keys()].filter((folder) => folder !== ROOTS),
    allowed,
  )
  const arrows = [...imports].flatMap(([from, { folders }]) =>
    [...folders].filter((to) => to !== 'core' && to !== 'sql').map((to) => `  ${from} --> ${to}`),
  )
  const existing = new Set(imports.keys())
  const rows = layers.flatMap((layer, index) =>
    layer.map((folder) => {
      const { packages } = imports.get(folder) ?? { packages: new Set<string>() }
      const below = (allowed.get(folder) ?? []).filter((name) => existing.has(name))
      return `| ${layers.length - index} | \`${folder}\` | ${below.join(', ') || 'nothing of ours'} | ${[...packages].sort().join(', ') || '–'} |`
    }),
  )
  return [
    '```mermaid',
    'flowchart TD',
    '  roots["tenancy.ts · control-plane.ts · index.ts"]',
    ...layers.flatMap((layer, index) => [
      `  subgraph layer${layers.length - index}[" "]`,
      ...layer.map((folder) => `    ${folder}`),
      '  end',
    ]),
    ...(imports.get('cli')?.folders.has('dev') === true ? ['  dev["dev/ (embedded server)"]'] : []),
    ...arrows.sort(),
    // Arrows that are not drawn keep the layers one above the other.
    ...layers.slice(1).map((layer, index) => `  ${layers[index]?.[0]} ~~~ ${layer[0]}`),
    '```',
    '',
    'An arrow is an import that the code holds now. Arrows to `core` and `sql` are left out: nearly everything has them.',
    'What may be imported is enforced by `npm run check -- layers`:',
    '',
    '| layer | folder | may import | packages it uses |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

/** The whole page, with the part between the marks as the code is now. */
export function renderArchitecture(page = readPage(ARCHITECTURE_PAGE) ?? ''): string {
  const [start, end] = [page.indexOf(START), page.indexOf(END)]
  if (start === -1 || end < start) throw new Error(`${ARCHITECTURE_PAGE} has lost the marks of its layers`)
  // The formatter keeps off what a script lays out.
  const layers = `<!-- prettier-ignore-start -->\n\n${renderLayers()}\n\n<!-- prettier-ignore-end -->`
  return `${page.slice(0, start + START.length)}\n${layers}\n${page.slice(end)}`
}

if (import.meta.main) putPage(ARCHITECTURE_PAGE, renderArchitecture())
