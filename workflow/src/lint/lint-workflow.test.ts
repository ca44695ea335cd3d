import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lintWorkflow } from './lint-workflow.ts';

const lint = (text: string): string[] =>
  lintWorkflow({ file: 'ci.yml', text }).map(
    ({ line, column, severity, rule }) => `${line}:${column} ${severity} ${rule}`,
  );

test('what GitHub refuses is said with its sentences, and is all that is said', () => {
  const said = (text: string): string =>
    lintWorkflow({ file: 'ci.yml', text })
      .map(({ message }) => message)
      .join('\n');
  const withRun = (expression: string): string =>
    `on: push\njobs:\n  a: { runs-on: l, steps: [{ uses: a/b@v1 }, { run: "\${{ ${expression} }}" }] }\n`;
  assert.match(
    said(withRun('steps.')),
    /^Unexpected end of expression: '\.'. Located at position 6 within expression: steps\.$/,
  );
  assert.match(said(withRun('nothing.x')), /Unrecognized named-value: 'nothing'/);
  assert.match(said(withRun("contains('a')")), /Too few parameters supplied/);
  assert.match(said(withRun('success(1, 2)')), /Unrecognized function: 'success'/);
  assert.match(
    said('on: push\njobs:\n  a: { steps: [] }\n'),
    /Required property is missing: runs-on/,
  );
  assert.deepEqual(lint(withRun('steps.')), ['3:54 error invalid-workflow']);
  assert.deepEqual(lint(''), ['1:1 error invalid-workflow']);
});

test('findings of all rules come in the order of the file, each once', () => {
  const text = `on: push
jobs:
  a:
    runs-on: l
    steps:
      - uses: a/b@v1
      - run: echo \${{ steps.x.outputs.y }}\${{ github.head_ref }} \${{ steps.x.outputs.y && steps.x.outputs.y }}
        shell: none
`;
  assert.deepEqual(lint(text), [
    '6:15 warning unpinned-action',
    '7:19 error unknown-name',
    '7:43 error script-injection',
    '7:66 error unknown-name',
    '8:16 error unknown-shell',
  ]);
});

test('places are right behind an anchor, in folded text and after a byte order mark', () => {
  const text = `\uFEFFon: push
env: { X: &x "\${{ github.nothing }}" }
jobs:
  a:
    runs-on: l
    steps:
      - name: *x
        run: >-
          one
          \${{ github.sha }}
          two \${{ github.head_ref }}
      - working-directory: *x
        run: a
`;
  assert.deepEqual(lint(text), ['2:15 error unknown-name', '11:15 error script-injection']);
});

test('a file with more findings than anybody reads is cut', () => {
  const steps = Array.from(
    { length: 600 },
    () => '      - { uses: a/b@v1, name: "${{ github.no }}" }\n',
  ).join('');
  assert.equal(lint(`on: push\njobs:\n  a:\n    runs-on: l\n    steps:\n${steps}`).length, 1000);
});

/** Many times what the files below take on an idle machine. */
const LINT_MS = 30_000;

test('files that are made to be slow are done in seconds', () => {
  const job = (steps: string[]): string =>
    `on: push\njobs:\n  a:\n    runs-on: l\n    steps:\n${steps.map((step) => `      - ${step}\n`).join('')}`;
  const many = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);
  const expression = '${{ steps.x.outputs.y }}';
  const steps = many(10, '{ run: a, if: steps.x }').join(', ');
  const jobs = Array.from(
    { length: 900 },
    (_, n) => `  j${n}: { runs-on: l, steps: [${steps}] }\n`,
  );
  const aliases = many(900, '{ run: a, name: *e, env: { A: *e, B: *e, C: *e, D: *e } }');
  const files = [
    `on: push\njobs:\n${jobs.join('')}`,
    job([`{ run: a, name: &e "${expression}" }`, ...aliases]),
    job(many(150, `run: '${expression.repeat(250)}'`)),
  ];
  for (const [place, text] of files.entries()) {
    const startedAtMs = performance.now();
    const found = lintWorkflow({ file: 'ci.yml', text });
    assert.equal(found[0]?.rule, 'unknown-name', `${place}: ${found[0]?.message}`);
    assert.ok(performance.now() - startedAtMs < LINT_MS, `${place}`);
  }
});

test('a message names only some of many names', () => {
  const steps = Array.from({ length: 100 }, (_, n) => `      - { id: s${n}, run: a }\n`).join('');
  const text = `on: push\njobs:\n  a:\n    runs-on: l\n    steps:\n${steps}      - run: echo \${{ steps.x.outputs.y }}\n`;
  assert.match(
    lintWorkflow({ file: 'ci.yml', text })[0]?.message ?? '',
    /: s0, .*, s19 and 80 more$/,
  );
});
