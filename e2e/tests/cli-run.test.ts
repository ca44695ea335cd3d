import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Plan, Run, RunStreamEvent } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const WORKFLOW = `name: ci
on:
  push:
  workflow_dispatch:
    inputs:
      who: { type: string, default: nobody }
jobs:
  first:
    runs-on: ubuntu-latest
    strategy:
      matrix: { node: [22, 24] }
    steps:
      - run: echo "first on \${{ matrix.node }}"
  values:
    runs-on: ubuntu-latest
    env: { TOKEN: '\${{ secrets.TOKEN }}', FROM_FILE: '\${{ secrets.FROM_FILE }}' }
    steps:
      - name: say values
        run: |
          echo "var=\${{ vars.COLOR }} env=$SIZE input=\${{ inputs.who }} ref=\${{ github.ref }}"
          echo "token=$TOKEN file=$FROM_FILE length=\${#TOKEN}"
  second:
    needs: first
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: cat note.txt
`;
const SIDE = `name: side
on: [push, pull_request]
jobs:
  bad:
    runs-on: ubuntu-latest
    steps:
      - name: break it
        run: |
          for n in $(seq 1 60); do echo "row $n"; done
          exit 3
`;

const checkout = makeCheckout({
  '.github/workflows/ci.yml': WORKFLOW,
  '.github/workflows/side.yml': SIDE,
  'note.txt': 'committed',
});
const line = await CommandLine.served();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const directory = checkout.directory;
const DRIVER = ['--driver', 'process'];
const CI = ['-W', '.github/workflows/ci.yml'];

test('a run in a pipe is plain lines, then a table, and ends with 0', async () => {
  checkout.write('note.txt', 'not committed');
  const words = ['run', ...DRIVER, '--workflows', '.github/workflows/ci.yml', '--job', 'second'];
  const { code, stdout, stderr } = await line.run(words, { directory });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^The snapshot includes uncommitted changes\.$/m);
  assert.match(stdout, /^\[first \(22\)\] \| first on 22$/m);
  assert.match(stdout, /^\[second\] \| not committed$/m);
  assert.match(stdout, /^✓ second +success +\d+\.\ds +\d+\.\ds +\d+\.\ds$/m);
  assert.doesNotMatch(stdout, /\x1b/);
  const rows = stdout.split('\n');
  const lastOfFirst = rows.findLastIndex((row) => row.startsWith('[first (22)]'));
  assert.equal(rows[lastOfFirst], '[first (22)] success', 'an end comes after the last row');
  checkout.git('checkout', '--quiet', '--', 'note.txt');
});

test('secrets, variables and inputs arrive, and secrets are not shown', async () => {
  const secretFile = line.write('secrets', 'FROM_FILE=file-s3cr3t-value\n');
  const words = ['run', ...DRIVER, ...CI, '-j', 'values', '-e', 'workflow_dispatch'];
  words.push('-s', 'TOKEN', '--secret-file', secretFile, '--var', 'COLOR=blue');
  words.push('--env', 'SIZE=large', '--input', 'who=world');
  const environment = { TOKEN: 'env-s3cr3t-value' };
  const { code, stdout } = await line.run(words, { directory, environment });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /var=blue env=large input=world ref=refs\/heads\/main/);
  assert.match(stdout, /token=\*\*\* file=\*\*\* length=16/);
  assert.doesNotMatch(stdout, /s3cr3t/);
});

test('long names of the same flags mean the same, and an event file replaces fields', async () => {
  const eventFile = line.write('event.json', '{"ref":"refs/tags/v1"}');
  const words = ['run', ...DRIVER, ...CI, '--job', 'values', '--event', 'workflow_dispatch'];
  words.push('--event-file', eventFile, '--secret', 'TOKEN=given-s3cr3t');
  const { code, stdout } = await line.run(words, { directory });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /input=nobody ref=refs\/tags\/v1/);
  assert.doesNotMatch(stdout, /given-s3cr3t/);
});

test('--matrix takes legs of a job', async () => {
  const words = ['run', ...DRIVER, ...CI, '-j', 'first', '--matrix', 'node:24'];
  const { code, stdout } = await line.run(words, { directory });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /first on 24/);
  assert.doesNotMatch(stdout, /first on 22/);
});

test('--json is one event a line, every row once, and ends with finished', async () => {
  const words = ['run', '--json', ...DRIVER, ...CI, '-j', 'first'];
  const { code, stdout } = await line.run(words, { directory });
  assert.equal(code, 0, stdout);
  type Line = RunStreamEvent | { type: 'message' } | { type: 'finished'; runs: Run[] };
  const events = jsonLines<Line>(stdout);
  const last = events.at(-1);
  assert.equal(last?.type, 'finished');
  const seen = new Map<string, number>();
  for (const event of events) {
    if (event.type !== 'log') continue;
    assert.equal(event.offset, seen.get(event.jobId) ?? 0);
    seen.set(event.jobId, event.offset + event.rows.length);
  }
  const [run] = last?.type === 'finished' ? last.runs : [];
  assert.deepEqual(
    run?.jobs.map((job) => [job.conclusion, job.log.rows]),
    run?.jobs.map((job) => ['success', seen.get(job.id)]),
  );
});

test('a failing job ends the run with 1, among several workflows named with its own', async () => {
  const { code, stdout } = await line.run(['run', ...DRIVER], { directory });
  assert.equal(code, 1);
  assert.match(stdout, /^\[side \/ bad\] \| row 60$/m);
  assert.match(stdout, /^\[side \/ bad\] failure$/m);
  assert.match(stdout, /side\.yml:7:9: step 'break it' failed: Process completed with exit code 3/);
  assert.match(stdout, /^\[ci \/ second\] success$/m);
});

test('--list and --dry-run show the jobs and start nothing', async () => {
  const listed = await line.run(['run', '--list'], { directory });
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(
    listed.stdout,
    /^ci {2}\.github\/workflows\/ci\.yml {2}on: push, workflow_dispatch/m,
  );
  assert.match(listed.stdout, /^first +first +2 +- +ubuntu-latest +yes$/m);
  const short = await line.run(['run', '-l', '-e', 'pull_request'], { directory });
  assert.match(short.stdout, /^ci .*does not run: /m);
  const dry = await line.run(['run', '--dry-run', ...CI, '-s', 'NOT_ASKED_FOR'], { directory });
  assert.match(dry.stdout, /1\. say values/);
  const plan = await line.run(['run', '-n', '--json'], { directory });
  assert.equal((JSON.parse(plan.stdout) as Plan).workflows.length, 2);
  for (const { stdout } of [listed, short, dry]) assert.doesNotMatch(stdout, /run \d/);
});

test('on a terminal the tree shows a failed job with its last rows', async () => {
  const words = ['run', ...DRIVER, '-W', '.github/workflows/side.yml'];
  const { code, stdout } = await line.onTerminal(words, { directory, columns: 60 }).ended;
  assert.equal(code, 1);
  assert.match(stdout, /\x1b\[31m✗\x1b\[39m \x1b\[1mbad\x1b\[22m {2}failure/);
  assert.match(stdout, / {4}row 60\r\n/);
  assert.match(stdout, /side\x1b\[22m · run \d+ · failure/);
  assert.ok(
    stdout.lastIndexOf('\x1b[?25h') > stdout.lastIndexOf('\x1b[?25l'),
    'the cursor is back',
  );
});

test('NO_COLOR takes colours, TERM=dumb the tree', async () => {
  const words = ['run', ...DRIVER, ...CI, '-j', 'first', '--matrix', 'node:24'];
  const plain = line.onTerminal(words, { directory, environment: { NO_COLOR: '1' } });
  const { stdout: noColor } = await plain.ended;
  assert.doesNotMatch(noColor, /\x1b\[[\d;]*m/);
  assert.match(noColor, /✓ first \(24\) {2}success/);
  const dumb = line.onTerminal(words, { directory, environment: { TERM: 'dumb' } });
  const { stdout } = await dumb.ended;
  assert.doesNotMatch(stdout, /\x1b/);
  assert.match(stdout, /^\[first \(24\)\] success\r$/m);
});

test('--keep leaves the sandbox where reap --kept finds it', async () => {
  const words = ['--data-dir', line.data, 'run', '--keep', ...DRIVER, ...CI, '-j', 'first'];
  const { code, stdout } = await line.run([...words, '--matrix', 'node:24'], { directory });
  assert.equal(code, 0, stdout);
  const kept = join(line.data, 'agent', 'kept');
  assert.equal(readdirSync(kept).length, 1);
  const reaped = await line.run(['reap', '--kept']);
  assert.equal(reaped.code, 0, reaped.stderr);
  assert.throws(() => readdirSync(kept), { code: 'ENOENT' });
});

test('a job that no host can take is refused at once, the others run', async () => {
  await using far = makeCheckout({
    '.github/workflows/w.yml':
      'on: push\njobs:\n  a: { runs-on: windows-2022, steps: [{ run: echo a }] }\n' +
      '  b: { runs-on: ubuntu-latest, steps: [{ run: echo ran b }] }\n',
  });
  const { code, stdout } = await line.run(['run', ...DRIVER], { directory: far.directory });
  assert.equal(code, 1);
  assert.match(stdout, /^\[a\] refused \(no host\)$/m);
  assert.match(stdout, /it runs on \[windows-2022\], and this host is \[.*ubuntu-latest/);
  assert.match(stdout, /^\[b\] \| ran b$/m);
});

test('a shallow clone runs like any other checkout', async () => {
  await using clone = makeCheckout({});
  const shallow = join(clone.directory, 'shallow');
  const from = `file://${directory}`;
  checkout.git('commit', '--quiet', '--allow-empty', '--message=more');
  clone.git('clone', '--quiet', '--depth=1', from, shallow);
  const words = ['run', ...DRIVER, ...CI, '-j', 'first', '--matrix', 'node:24'];
  const { code, stdout, stderr } = await line.run(words, { directory: shallow });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /first on 24/);
});
