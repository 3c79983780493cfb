/** The layers of src/, as rules: a folder imports only from the layers below its own. */
// Without its parser dependency-cruiser guesses at TypeScript, and misses type imports: rather fail here.
import '@swc/core'
import type { IConfiguration, IForbiddenRuleType } from 'dependency-cruiser'

/** From the ground up. Folders of one layer do not know each other; what they share goes through core/. */
const LAYERS = [
  ['core'],
  ['sql'],
  ['gateway', 'schema'],
  ['resolve', 'isolation', 'catalog'],
  ['lifecycle', 'migrate', 'prove', 'snapshot', 'limits', 'audit', 'inspect'],
  ['http', 'orm', 'jobs', 'cache'],
  ['cli', 'admin', 'testing'],
]

/** The files that wire layers together, and so may import from all of them. */
const ROOTS = '^src/(tenancy|tenancy-members|tenancy-options|control-plane|index)\\.ts$'
/** The faces are at home above the roots. */
const FACES = '^src/(cli|admin|testing)/'

const anyOf = (folders: readonly string[]) => `^src/(${folders.join('|')})/`

const layerRules = LAYERS.flatMap((layer, height) =>
  layer.map((folder): IForbiddenRuleType => {
    const below = LAYERS.slice(0, height).flat()
    return {
      name: `layer-${folder}`,
      comment: `src/${folder} imports only from: ${below.join(', ') || 'nothing of ours'}.`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: {
        path: '^src/',
        // A face may also use a composition root, as a user of the package would.
        pathNot: [anyOf([folder, ...below]), ...(FACES.includes(folder) ? [ROOTS] : [])],
      },
    }
  }),
)

const config: IConfiguration = {
  forbidden: [
    ...layerRules,
    {
      name: 'no-unknown-folder',
      comment:
        'A new folder or root file of src needs a place in the layers (LAYERS and ROOTS in this file).',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: [anyOf(LAYERS.flat()), ROOTS] },
    },
    {
      name: 'no-unknown-folder-importer',
      comment: 'The same for a file that nothing imports yet.',
      severity: 'error',
      from: { path: '^src/', pathNot: [anyOf(LAYERS.flat()), ROOTS] },
      to: {},
    },
    {
      name: 'roots-below-faces',
      comment: 'What the package exports must not bring the command line along.',
      severity: 'error',
      from: { path: ROOTS },
      to: { path: FACES },
    },
    {
      name: 'no-cycles',
      comment: 'Neither file can be understood, or loaded, without the other. Types count.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'pg-in-gateway-only',
      comment: 'All SQL passes the gateway: a connection made elsewhere has no guard and no tenant.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/gateway/' },
      // pg-boss is a queue that makes connections of its own; only its types are named.
      to: {
        path: ['node_modules/(@types/)?pg/', 'node_modules/pg-[^/]+/', '^pg($|/|-)'],
        pathNot: 'node_modules/pg-boss/',
      },
    },
    {
      name: 'core-is-plain',
      comment: 'core holds words and shapes: no package, so that everything can import it.',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { path: '(^|/)node_modules/' },
    },
    {
      name: 'sql-is-pure',
      comment: 'sql turns text into text: no I/O.',
      severity: 'error',
      from: { path: '^src/sql/' },
      to: { dependencyTypes: ['core'], path: '^(node:)?(fs|net|tls|http|https|child_process|dns|dgram)' },
    },
    {
      name: 'dev-for-tools-only',
      comment: 'A server process must not carry an embedded PostgreSQL.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(cli|testing)/' },
      to: { path: '^dev/' },
    },
    {
      name: 'dev-below-faces',
      comment: 'dev/ is a tool of the command line, not a user of it.',
      severity: 'error',
      from: { path: '^dev/' },
      to: { path: FACES },
    },
    {
      name: 'no-self-import-in-src',
      comment: 'Inside the package its own name is a cycle through the front door.',
      severity: 'error',
      from: { path: '^(src|dev)/' },
      to: { path: '^(src|dist)/', dependencyTypesNot: ['local'] },
    },
    {
      name: 'examples-are-users',
      comment: 'An example imports tenantry by its public names, so that readers can copy it.',
      severity: 'error',
      from: { path: '^examples/' },
      to: { path: '^(src|test|scripts|bench)/', dependencyTypes: ['local'] },
    },
    {
      name: 'examples-without-dev',
      comment: 'Only the demo starts the embedded server; the example itself gets an address.',
      severity: 'error',
      from: { path: '^examples/', pathNot: '/demo\\.ts$' },
      to: { path: '^dev/' },
    },
    {
      name: 'nothing-from-tests',
      comment: 'Tests see the code, never the other way round.',
      severity: 'error',
      from: { path: '^(src|dev|examples|bench)/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that leads nowhere escapes every other rule.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // TypeScript 7 has no API that dependency-cruiser could parse with. (It warns so; swc is the answer.)
    parser: 'swc',
    // `import type` couples too.
    tsPreCompilationDeps: true,
    // 'tenantry' leads to src/, as when the sources run unbuilt.
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['tenantry-dev', 'import', 'node', 'default', 'types'],
    },
    doNotFollow: { path: 'node_modules' },
    // What `prisma generate` makes for an example.
    exclude: { path: '^dist/|(^|/)generated/' },
  },
}

export default config
