/** `onejob lint` as it is typed: files, directories, standard input; no repository, no data directory. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { CommandLine, checkRefusal } from './_command-line.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BAD = `on: issues
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - run: echo "\${{ github.event.issue.title }}"
      - uses: actions/checkout@v4
`;
const GOOD = BAD.replace('github.event.issue.title', 'github.sha').replace(
  '@v4',
  `@${'0'.repeat(40)}`,
);

const line = new CommandLine();
after(async () => await line[Symbol.asyncDispose]());
const directory = dirname(line.data);
mkdirSync(join(directory, '.github', 'workflows'), { recursive: true });
writeFileSync(join(directory, '.github', 'workflows', 'bad.yml'), BAD);
line.write('good.yaml', GOOD);
line.write('broken.yml', 'on: push\njobs: { a: { steps: [] } }\n');

test('findings are lines with place, severity and rule; errors end with 1', async () => {
  const { code, stdout, stderr } = await line.run(['lint']);
  assert.equal(code, 1);
  const [first = '', second = '', ...rest] = stdout.split('\n');
  assert.match(
    first,
    /^\.github\/workflows\/bad\.yml:6:20: error: `github\.event\.issue\.title` is text of .* \[script-injection\]$/,
  );
  assert.match(
    second,
    /^\.github\/workflows\/bad\.yml:7:15: warning: `actions\/checkout@v4`: .* \[unpinned-action\]$/,
  );
  assert.deepEqual(rest, ['']);
  assert.equal(stderr, '1 file: 1 error, 1 warning\n');
  assert.equal(line.hasData(), false, 'no data directory is made');
});

test('nothing found ends with 0, warnings do unless --strict', async () => {
  const good = await line.run(['lint', 'good.yaml']);
  assert.deepEqual([good.code, good.stdout, good.stderr], [0, '', '1 file: nothing found\n']);
  const warned = GOOD.replace(/@0+/, '@v4');
  const lenient = await line.run(['lint', '-'], { input: warned });
  assert.equal(lenient.code, 0);
  assert.match(lenient.stdout, /^<stdin>:7:15: warning: /);
  assert.equal((await line.run(['lint', '--strict', '-'], { input: warned })).code, 1);
});

test('what GitHub refuses is found, and --json has everything', async () => {
  const words = ['lint', '--json', 'broken.yml', 'good.yaml', '.github/workflows', '.'];
  const { code, stdout } = await line.run(words);
  assert.equal(code, 1);
  type Found = { files: string[]; findings: { file: string; rule: string; line: number }[] };
  const { files, findings } = JSON.parse(stdout) as Found;
  assert.deepEqual(files, ['broken.yml', 'good.yaml', '.github/workflows/bad.yml']);
  assert.deepEqual(
    findings.map((one) => `${one.file}:${one.line} ${one.rule}`),
    [
      'broken.yml:2 invalid-workflow',
      '.github/workflows/bad.yml:6 script-injection',
      '.github/workflows/bad.yml:7 unpinned-action',
    ],
  );
});

test('paths that are not there, and directories without workflows, end with 3', async () => {
  checkRefusal(
    await line.run(['lint', 'nowhere.yml']),
    3,
    /nowhere\.yml cannot be read: there is no such file/,
  );
  mkdirSync(join(directory, 'empty'));
  checkRefusal(await line.run(['lint', 'empty']), 3, /empty has no workflow/);
});

const EVERY_RULE = `on:
  push: { branches: [main, main] }
jobs:
  a:
    runs-on: ubuntu-latest
    if: \${{ github.ref }} && true
    container: node:24
    steps:
      - run: echo \${{ github.event.fork.forkee.name }}
        shell: bashful
      - run: echo \${{ steps.none.outputs.x }}
        if: github.ref_type == 'commit'
`;

test('each rule is found in a file that breaks all of them, at its place', async () => {
  const { stdout } = await line.run(['lint', '--json', '-'], { input: EVERY_RULE });
  const { findings } = JSON.parse(stdout) as { findings: { rule: string; line: number }[] };
  assert.deepEqual(
    findings.map((one) => `${one.line} ${one.rule}`),
    [
      ...['2 duplicate-entry', '6 constant-condition', '7 unpinned-action', '9 script-injection'],
      ...['10 unknown-shell', '11 unknown-name', '12 expression-type'],
    ],
  );
  const { RULE_NAMES } = await import('@onejob/workflow/lint');
  const found = new Set([...findings.map((one) => one.rule), 'invalid-workflow']);
  assert.deepEqual([...found].toSorted(), RULE_NAMES);
});

test('the example has no error, and docs/lint.md lists every rule', async () => {
  const { code, stdout } = await line.run(['lint', join(ROOT, 'examples', 'calendar')]);
  assert.equal(code, 0, stdout);
  assert.doesNotMatch(stdout, /error:/);
  for (const row of stdout.split('\n').filter(Boolean)) assert.match(row, /\[unpinned-action\]$/);
  const { RULE_NAMES } = await import('@onejob/workflow/lint');
  const documented = [
    ...readFileSync(join(ROOT, 'docs', 'lint.md'), 'utf8').matchAll(/^\| `([\w-]+)`/gm),
  ];
  assert.deepEqual(documented.map(([, name = '']) => name).toSorted(), RULE_NAMES);
});
