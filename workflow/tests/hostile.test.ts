/**
 * Hostile files: whatever the text, parsing ends, does not throw, and says a place that is in the
 * file.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WORKFLOW_FILE_CHARACTERS } from '@onejob/protocol/limits';
import { expandJob, PlanError, whyRefused } from '../src/index.ts';
import { DIALECTS } from '../src/parse/dialect.ts';
import { parseWorkflow } from '../src/parse/workflow.ts';
import { FILE, problemsOf, SCOPE } from './_workflows.ts';

const SIZE = 200_000;
const fill = (unit: string, size = SIZE): string => unit.repeat(Math.floor(size / unit.length));
/** Nearly the largest file there may be: what takes the square of it takes minutes. */
const LARGE = WORKFLOW_FILE_CHARACTERS - 1000;
const step = 'on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: ';
const inJob = (condition: string): string =>
  `on: push\njobs: { a: { runs-on: x, if: "${condition}", steps: [{ run: a }] } }\n`;

const letters = Array.from('abcdefghij');
const bomb = [
  'a: &a [x,x,x,x,x,x,x,x,x]',
  ...letters.slice(1).map((name, i) => `${name}: &${name} [${`*${letters[i]},`.repeat(9)}]`),
  'on: push',
  'jobs: { a: { runs-on: x, steps: [{ run: a, env: { A: *j } }] } }',
].join('\n');
const chain = Array.from({ length: 900 }, (_, i) => `  j${i}: { runs-on: x, needs: j${i + 1} }`);

const HOSTILE: Record<string, string> = {
  'an alias bomb': bomb,
  'an alias bomb where anything may stand': `on: push\nenv: { A: 1 }\n${bomb.replace('[x,x', '[{},x')}`,
  'open brackets': fill('['),
  'open braces': fill('[{'),
  'nested lists in one line': fill('- '),
  'nested keys in one line': fill('? '),
  'nested blocks': Array.from({ length: 1200 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
  'thousands of anchors': fill('&a '),
  'thousands of aliases': `on: &a push\njobs: [${fill('*a,')}]`,
  'thousands of tags': fill('!a '),
  'thousands of quotes': fill('"'),
  'thousands of documents': fill('---\n'),
  'thousands of directives': fill('%a\n'),
  'thousands of keys': fill('a: 1\n'),
  'thousands of mapping keys': `on: push\n${fill('? [a]: b\n')}`,
  'null bytes': fill('\0'),
  'lone surrogates': fill('\ud800'),
  'open expressions': `on: push\nname: "${fill('${{')}"`,
  'a MiB of wrong expressions in one text': `${step}"${fill('${{a}}', LARGE)}"\n`,
  'a MiB of lines with an expression each': `${step}|\n${fill('          ${{1}}\n', LARGE)}`,
  'a MiB of wrong expressions in many texts': `${step}x\n${fill(`      - run: "${'${{a}}'.repeat(250)}"\n`, LARGE)}`,
  'a MiB of items': `on: [${fill('a,', LARGE)}]\n`,
  'a long expression': inJob(`'${fill('x')}'`),
  'open parentheses': inJob('('.repeat(20_000)),
  'a long chain of comparisons': inJob(`1${'==1'.repeat(6000)}`),
  'thousands of negations': inJob(`${'!'.repeat(20_000)}1`),
  'a long chain of jobs in a circle': `on: push\njobs:\n${chain.join('\n')}\n  j900: { runs-on: x, needs: j0 }\n`,
  'more jobs than a run has': `on: push\njobs:\n${Array.from({ length: 1100 }, (_, i) => `  j${i}: { runs-on: x, steps: [{ run: a }] }\n`).join('')}`,
  'more steps than a job has': `on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n${'      - run: a\n'.repeat(4200)}`,
};

for (const [name, text] of Object.entries(HOSTILE)) {
  test(`${name}: refused with a place in the file`, { timeout: 60_000 }, () => {
    const result = parseWorkflow({ file: FILE, text });
    assert.ok(!result.ok);
    const lines = text.split('\n').length;
    assert.ok(result.problems.length > 0 && result.problems.length <= 11);
    for (const { line, column, message } of result.problems) {
      assert.ok(line >= 1 && line <= lines && column >= 1, `${line}:${column}`);
      assert.ok(message.length > 5 && message.length < 1200);
    }
  });
}

test('limits of a file and of a text are said with the limit', () => {
  assert.deepEqual(problemsOf(HOSTILE['a MiB of items'] ?? ''), [
    '1:1 Maximum number of YAML tokens exceeded (300000)',
  ]);
  const lines = problemsOf(HOSTILE['a MiB of lines with an expression each'] ?? '');
  assert.deepEqual(lines, ['6:14 A text may hold at most 254 expressions, this one has more']);
  assert.deepEqual(problemsOf(`${step}"${'${{ 1 }}'.repeat(254)}"\n`), []);
});

test('the size of a file is counted in characters, whatever their bytes', () => {
  const whole = `${step}x\n`;
  const filled = (sign: string, characters: number): string =>
    `${whole}#${sign.repeat((characters - whole.length - 1) / sign.length)}`;
  for (const sign of ['x', 'é', '\ud800\udc00']) {
    const text = filled(sign, WORKFLOW_FILE_CHARACTERS);
    assert.deepEqual(problemsOf(text), [], sign);
    const [problem] = problemsOf(`${text}x`);
    const said = /^1:1 The maximum file size of 1048576 characters has been exceeded\. Split it/;
    assert.match(problem ?? '', said);
  }
});

test('a message is cut where GitHub cuts it', () => {
  const job = (needs: string) => `{ needs: ${needs}, runs-on: x, steps: [{ run: a }] }`;
  const said = (name: string) =>
    problemsOf(`on: push\njobs: { a: ${job('[]')}, b: ${job(name)} }\n`).map((one) =>
      one.slice('2:00 '.length),
    );
  const sentence = (name: string) => `Job 'b' depends on unknown job '${name}'.`;
  const fits = 'k'.repeat(500 - sentence('').length);
  assert.deepEqual(said(fits), [sentence(fits)]);
  assert.deepEqual(said(`${fits}k`), [`${sentence(`${fits}k`).slice(0, 500)}[...]`]);
});

test('an alias bomb is stopped by the count of nodes, not by the schema', () => {
  const text = `on: push\nx: &x {a: [${letters.join()}]}\n`;
  assert.ok(problemsOf(text).length > 0);
  const list = (name: string, item: string) => `${name}: &${name} [${`${item},`.repeat(10)}]`;
  const inMatrix = ['a', 'b', 'c', 'd', 'e', 'f'].reduce<string[]>(
    (lists, name, i) => [...lists, list(name, i === 0 ? '1' : `*${String.fromCodePoint(96 + i)}`)],
    [],
  );
  const bombed = `on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{ run: a }]\n    strategy: { matrix: { ${inMatrix.join(', ')} } }\n`;
  assert.deepEqual(problemsOf(bombed), [
    '6:205 Maximum number of YAML nodes exceeded (100000), aliases expanded',
  ]);
});

const SEED = `name: CI
on:
  push: { branches: [main, "re**"], paths: ["a/**"] }
  workflow_dispatch: { inputs: { x: { type: choice, options: [a, b] } } }
env: { A: "\${{ github.ref }}" }
jobs:
  test:
    needs: [setup]
    if: \${{ github.ref == 'x' || failure() }}
    runs-on: \${{ matrix.os }}
    strategy: { fail-fast: false, matrix: { os: [a, b], n: [1, 2], include: [{ os: c }], exclude: [{ os: a }] } }
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "\${{ matrix.os }}"
            more \${{ toJSON(github) }}
        env: &e { B: "it's \${{ secrets.T }}" }
      - { run: x, env: *e, timeout-minutes: 5 }
  setup: { runs-on: [a, b], outputs: { v: "\${{ steps.x.outputs.v }}" }, steps: [{ id: x, run: y }] }
`;
const noise = fc.constantFrom(
  '[',
  ']',
  '{',
  '}',
  ':',
  '- ',
  '\n',
  '  ',
  '"',
  "'",
  '${{',
  '}}',
  '&a ',
  '*a',
  '*e',
  '<<: ',
  '|',
  '>',
  '#',
  '!!str ',
  '? ',
  '\t',
  '\0',
  '\r',
  'constructor',
  '__proto__',
  'matrix',
  '.nan',
  '-1',
  'null',
  '\ud83d',
  'é',
  '%',
  '@',
  '`',
  '---\n',
  'needs: test\n',
);
const edit = fc.record({
  at: fc.nat(SEED.length),
  cut: fc.nat(12),
  put: fc.array(noise, { maxLength: 2 }),
});

const dialects = fc.constantFrom(...DIALECTS);

test(
  'a workflow with random edits parses to something that plans, or to problems',
  { timeout: 120_000 },
  () => {
    let good = 0;
    const base = parseWorkflow({ file: FILE, text: SEED });
    assert.ok(base.ok, JSON.stringify(base));
    fc.assert(
      fc.property(dialects, fc.array(edit, { minLength: 1, maxLength: 2 }), (dialect, edits) => {
        let text = SEED;
        for (const { at, cut, put } of edits)
          text = text.slice(0, at) + put.join('') + text.slice(at + cut);
        const result = parseWorkflow({ file: FILE, text, dialect });
        if (!result.ok) {
          assert.ok(result.problems.length > 0, text);
          return;
        }
        good++;
        assert.deepEqual(JSON.parse(JSON.stringify(result.workflow)), result.workflow);
        for (const job of result.workflow.jobs) {
          whyRefused(result.workflow, job);
          try {
            expandJob(job, SCOPE);
          } catch (error) {
            assert.ok(error instanceof PlanError, String(error));
          }
        }
      }),
      { numRuns: 1500 },
    );
    assert.ok(good > 30, `only ${good} parsed`);
  },
);

test('random text never throws', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(
      dialects,
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(noise).map((p) => p.join('')),
      ),
      (dialect, text) => {
        const result = parseWorkflow({ file: FILE, text, dialect });
        assert.ok(!result.ok && result.problems.length > 0);
      },
    ),
    { numRuns: 3000 },
  );
});
