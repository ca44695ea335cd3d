/**
 * Who may import whom. A workspace is a trust zone; this table is the architecture, and the rule that
 * reads it prints the reason. The linter repeats it in the editor (.oxlintrc.json).
 */

import type { Violation } from './rule.ts';
import type { SourceFile } from './source-file.ts';

interface ZoneRule {
  /** Other zones it may import. */
  readonly zones: readonly string[];
  /** npm packages it may import; undefined: those its package.json lists (knip checks that). */
  readonly packages?: readonly string[];
  /** Node's own modules it may import; undefined: any. */
  readonly builtins?: readonly string[];
  readonly reason: string;
}

/** Computing without I/O, clock, process or chance. */
const PURE_BUILTINS = ['node:buffer', 'node:string_decoder', 'node:util'];
const ANY_ZONE = [
  ...['protocol', 'workflow', 'masking', 'control-plane', 'agent', 'guest-runner', 'cli'],
  ...['testing', 'image', 'prove'],
];

const ZONES: Readonly<Record<string, ZoneRule>> = {
  protocol: {
    zones: [],
    packages: ['@bufbuild/protobuf', 'typebox'],
    builtins: [],
    reason: 'it is what crosses a boundary and nothing else: every zone loads it, the guest too',
  },
  workflow: {
    zones: ['protocol'],
    builtins: PURE_BUILTINS,
    reason: 'it is pure: the same input gives the same plan, on the control plane and in the guest',
  },
  masking: {
    zones: ['protocol'],
    builtins: PURE_BUILTINS,
    reason: 'it is pure: bytes in, bytes out',
  },
  'control-plane': {
    zones: ['protocol', 'workflow', 'masking'],
    reason: 'it holds the keys: it never touches a sandbox and never runs job code',
  },
  agent: {
    zones: ['protocol', 'masking'],
    reason: 'it stands beside hostile code: no planner, no parser, nothing of the control plane',
  },
  'guest-runner': {
    zones: ['protocol', 'workflow', 'masking'],
    packages: ['dns-packet'],
    reason:
      "it runs in the sandbox and must start fast: Node's own modules, a small one for DNS, and nothing native",
  },
  'builtin-actions': {
    zones: [],
    reason:
      "its scripts are processes of the job like any action's: they know the variables and the services that GitHub's actions know, and nothing of onejob",
  },
  prove: {
    zones: ['protocol'],
    reason:
      'it looks at sandboxes from outside and from inside, by a lab it is given: whoever proves himself proves nothing',
  },
  cli: {
    zones: ['protocol', 'workflow', 'image', 'prove'],
    reason:
      "it has the rights of its user and speaks the public API; images are built where it runs, and the user's own files are linted by what is pure",
  },
  image: { zones: ['protocol'], reason: 'it is the recipe of the guest' },
  testing: { zones: ANY_ZONE, reason: 'it holds the whole constellation in one process' },
  e2e: { zones: ANY_ZONE, reason: 'it drives everything for real' },
  bench: { zones: ANY_ZONE, reason: 'it measures everything' },
  tools: { zones: [], reason: 'it looks at the repository from outside' },
};

/** What any zone's tests may stand on: the constellation, and the real guest image. */
const TEST_ZONES = new Set(['testing', 'image']);
const DATABASE_DRIVERS = new Set(['pg', 'kysely', '@electric-sql/pglite']);
const DATABASE_ZONES = new Set(['control-plane', 'testing', 'e2e', 'bench']);
/** Server zones that exactly one file of the command line wires together (the embedded mode). */
const EMBEDDED = new Set(['agent', 'control-plane']);

/** `@scope/name/sub` -> `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function leavesZone(file: SourceFile, specifier: string): boolean {
  const resolved = new URL(specifier, `file:///${file.path}`).pathname.slice(1);
  return !resolved.startsWith(`${file.zone}/`);
}

/** Why `file` may not import `specifier`, or undefined if it may. */
function refusal(file: SourceFile, rule: ZoneRule, specifier: string): string | undefined {
  const because = `(${file.zone}: ${rule.reason})`;
  if (specifier.startsWith('.')) {
    return leavesZone(file, specifier)
      ? 'a relative import leaves its zone; between zones use the package name'
      : undefined;
  }
  if (specifier.startsWith('@onejob/')) {
    const zone = specifier.split('/')[1] ?? '';
    if (rule.zones.includes(zone) || zone === file.zone) return undefined;
    if (file.isTest && TEST_ZONES.has(zone)) return undefined;
    // Counted for the whole zone in checkWiring.
    if (file.zone === 'cli' && EMBEDDED.has(zone)) return undefined;
    return `may not import the zone ${zone} ${because}`;
  }
  if (file.isTest) return undefined;
  if (specifier.startsWith('node:')) {
    const isAllowed = rule.builtins?.includes(specifier) ?? true;
    return isAllowed ? undefined : `may not import ${specifier} ${because}`;
  }
  const name = packageOf(specifier);
  if (rule.packages !== undefined && !rule.packages.includes(name)) {
    return `may not import the package ${name} ${because}`;
  }
  if (DATABASE_DRIVERS.has(name) && !DATABASE_ZONES.has(file.zone)) {
    return `may not import the database driver ${name}: only the control plane reads the database`;
  }
  return undefined;
}

/** Imports between zones, per file. */
export function checkImports(file: SourceFile): Violation[] {
  if (file.isGenerated) return [];
  const rule = ZONES[file.zone];
  if (rule === undefined) {
    const message = `the zone ${file.zone} is not in the table of tools/tidy/zones.ts: add it with its reason`;
    return [{ rule: 'imports', file: file.path, line: 1, subject: file.zone, message }];
  }
  return file.imports.flatMap(({ specifier, line }) => {
    const message = refusal(file, rule, specifier);
    return message === undefined
      ? []
      : [{ rule: 'imports', file: file.path, line, subject: specifier, message }];
  });
}

/** The command line wires the embedded mode in one file, and only there touches server code. */
export function checkWiring(files: readonly SourceFile[]): Violation[] {
  const wiring = files.filter(
    (file) =>
      file.zone === 'cli' &&
      !file.isTest &&
      file.imports.some(({ specifier }) => EMBEDDED.has(specifier.split('/')[1] ?? '')),
  );
  if (wiring.length <= 1) return [];
  const names = wiring.map((file) => file.path).join(', ');
  const message = `the command line may wire server code in one file; now it is in ${names}`;
  return wiring.map((file) => ({
    rule: 'imports',
    file: file.path,
    line: 1,
    subject: 'embedded mode',
    message,
  }));
}
