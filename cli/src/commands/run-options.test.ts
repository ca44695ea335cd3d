import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CliError } from '../errors.ts';
import { readRunOptions, type RunFlags } from './run-options.ts';

const directory = mkdtempSync(join(tmpdir(), 'onejob-test-options-'));
after(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const read = async (some: Partial<RunFlags>) =>
  await readRunOptions(
    {
      workflows: [],
      job: [],
      event: 'push',
      secret: [],
      var: [],
      env: [],
      input: [],
      matrix: [],
      list: false,
      graph: false,
      watch: false,
      dryRun: false,
      json: false,
      driver: 'auto',
      keep: false,
      ...some,
    },
    new AbortController().signal,
  );

const refused = async (some: Partial<RunFlags>, exitCode: number, words: RegExp) =>
  await assert.rejects(read(some), (error: CliError) => {
    assert.ok(error instanceof CliError);
    assert.equal(error.exitCode, exitCode);
    assert.match(error.message, words);
    return true;
  });

test('values keep everything after the first sign', async () => {
  const options = await read({
    var: ['A=b=c', 'EMPTY='],
    env: ['X= y '],
    event: 'workflow_dispatch',
    input: ['my-input=1'],
    matrix: ['node:24', 'node:22', 'os:a:b'],
    secret: ['TOKEN=s=e:c'],
  });
  assert.deepEqual(options.vars, { A: 'b=c', EMPTY: '' });
  assert.deepEqual(options.env, { X: ' y ' });
  assert.deepEqual(options.inputs, { 'my-input': '1' });
  assert.deepEqual(options.matrix, { node: ['24', '22'], os: ['a:b'] });
  assert.deepEqual(options.secrets, { TOKEN: 's=e:c' });
});

test('a name alone takes its value from the environment', async (t) => {
  process.env['ONEJOB_TEST_VALUE'] = 'from outside';
  t.after(() => delete process.env['ONEJOB_TEST_VALUE']);
  const options = await read({ env: ['ONEJOB_TEST_VALUE'], secret: ['ONEJOB_TEST_VALUE'] });
  assert.deepEqual(options.env, { ONEJOB_TEST_VALUE: 'from outside' });
  assert.deepEqual(options.secrets, { ONEJOB_TEST_VALUE: 'from outside' });
});

test('a secret file holds lines as of a shell, and a flag goes before it', async () => {
  const secretFile = file('secrets', '# mine\nA=1\nB="two words"\nC=\'single\'\n\nD=over\n');
  const options = await read({ secretFile, secret: ['D=ridden'] });
  assert.deepEqual(options.secrets, { A: '1', B: 'two words', C: 'single', D: 'ridden' });
});

test('a secret file that is broken or not there is refused with its place', async () => {
  await refused({ secretFile: file('bad', 'A=1\na.b=1\n') }, 3, /bad:2: .*no NAME=value/);
  await refused({ secretFile: directory }, 3, /--secret-file .* cannot be read: it is a directory/);
});

test('a secret without a value is not asked for where nobody answers, nor where nothing runs', async () => {
  await refused({ secret: ['ONEJOB_TEST_NOWHERE'] }, 2, /set the variable ONEJOB_TEST_NOWHERE/);
  const options = await read({ secret: ['ONEJOB_TEST_NOWHERE'], list: true });
  assert.deepEqual(options.secrets, { ONEJOB_TEST_NOWHERE: '' });
});

test('what is not a name or a pair is refused with the flag it was given to', async () => {
  await refused({ var: ['ONEJOB_TEST_NOWHERE'] }, 2, /--var ONEJOB_TEST_NOWHERE=value/);
  await refused({ env: ['1A=x'] }, 2, /--env 1A/);
  await refused({ input: ['=x'], event: 'workflow_dispatch' }, 2, /--input/);
  await refused({ input: ['a=x'] }, 2, /--event workflow_dispatch/);
  await refused({ secret: ['a b'] }, 2, /--secret a b/);
  await refused({ matrix: ['node'] }, 2, /--matrix node.*key:value/);
  await refused({ matrix: [':24'] }, 2, /key:value/);
  await refused({ event: '' }, 2, /--event is empty/);
});

test('a value is never repeated in a complaint about its name', async () => {
  await assert.rejects(read({ secret: ['bad name=s3cr3t-value'] }), (error: CliError) => {
    assert.doesNotMatch(error.message, /s3cr3t/);
    return true;
  });
});

test('an event file is an object in JSON, or refused by its name', async () => {
  const good = await read({ eventFile: file('event.json', '{"ref":"refs/heads/x"}') });
  assert.deepEqual(good.event, { name: 'push', payload: { ref: 'refs/heads/x' } });
  await refused({ eventFile: file('text', 'hello') }, 3, /text is not JSON/);
  await refused({ eventFile: file('list', '[1]') }, 3, /list holds no JSON object/);
  await refused(
    { eventFile: join(directory, 'missing') },
    3,
    /missing cannot be read: there is no/,
  );
});
