/**
 * Issue 2, "bad input": whatever a user gets wrong is answered on one screen with its place and a
 * remedy, ends with the documented exit code, and leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { checkRefusal, CommandLine, type Ended } from './_command-line.ts';

const FILE = '.github/workflows/ci.yml';
const GOOD =
  'on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hi\n';
const RUN = ['run', '--driver', 'process'];

const shared = await CommandLine.served();
const good = makeCheckout({ [FILE]: GOOD });
const bad = makeCheckout({});
after(async () => {
  await good[Symbol.asyncDispose]();
  await bad[Symbol.asyncDispose]();
  await shared[Symbol.asyncDispose]();
});

const runWorkflow = async (workflow: string, ...more: string[]): Promise<Ended> => {
  bad.write(FILE, workflow);
  return await shared.run([...RUN, ...more], { directory: bad.directory });
};
const runGood = async (...words: string[]): Promise<Ended> =>
  await shared.run([...RUN, ...words], { directory: good.directory });

test('broken YAML is shown with its line', async () => {
  checkRefusal(
    await runWorkflow(GOOD.replace('[push]', '').replace('ubuntu-latest', '[ubuntu')),
    3,
    /ci\.yml:\d+:\d+: .*syntax/,
  );
  checkRefusal(await runWorkflow('on: push\n\tjobs: {}\n'), 3, /ci\.yml:2:1: /);
  checkRefusal(await runWorkflow(''), 3, /ci\.yml:1:1: /);
  checkRefusal(await runWorkflow('\0\xff\x01 binary'), 3, /ci\.yml:1:\d+: /);
});

test('an unknown job in needs is named, also in the only job, and so is a circle', async () => {
  const workflow = `${GOOD}  b:\n    needs: [a, nope]\n    runs-on: ubuntu-latest\n    steps: []\n`;
  checkRefusal(
    await runWorkflow(workflow),
    3,
    /ci\.yml:8:16: Job 'b' depends on unknown job 'nope'/,
  );
  const needs = (names: string): string => GOOD.replace('  a:\n', `  a:\n    needs: ${names}\n`);
  const only = await runWorkflow(needs('nope'));
  const both =
    /ci\.yml:3:3: The workflow must contain at least one .* depends on unknown job 'nope'/;
  checkRefusal(only, 3, both);
  const alone = await runWorkflow(needs('a'));
  checkRefusal(alone, 3, /ci\.yml:3:3: The workflow must contain at least one job with no dep/);
});

test('an unknown key is named', async () => {
  const workflow = GOOD.replace('    steps:', '    setps: 1\n    steps:');
  checkRefusal(await runWorkflow(workflow), 3, /ci\.yml:5:5: Unexpected value 'setps'/);
});

test('a bad expression is shown with what is wrong in it', async () => {
  const workflow = GOOD.replace('echo hi', 'echo ${{ nope(1) }} ${{ github..ref }}');
  checkRefusal(
    await runWorkflow(workflow),
    3,
    /ci\.yml:6:19: Unrecognized function: 'nope'/,
    /github\.\.ref/,
  );
});

test('an alias bomb is refused', async () => {
  const levels = Array.from(
    { length: 9 },
    (_, n) => `x${n + 1}: &x${n + 1} [${`*x${n},`.repeat(9)}]`,
  );
  const workflow = `x0: &x0 [lol]\n${levels.join('\n')}\n${GOOD}`;
  const result = await runWorkflow(workflow);
  checkRefusal(result, 3, /ci\.yml:6:22: Maximum number of YAML nodes exceeded/);
  assert.doesNotMatch(result.stderr, /Unexpected value|Required property/);
});

test('a workflow of 10 MB is refused', async () => {
  const result = await runWorkflow(`${GOOD}#${'x'.repeat(10_000_000)}`);
  checkRefusal(
    result,
    3,
    /ci\.yml:1:1: The maximum file size of 1048576 characters has been exceeded\. Split it/,
  );
});

test('a shell that is not there fails the step by its name', async () => {
  const workflow = GOOD.replace('- run: echo hi', '- { run: echo, shell: "nosuchshell {0}" }');
  checkRefusal(
    await runWorkflow(workflow),
    1,
    /ci\.yml:6:9: .*nosuchshell was not found in PATH\. Install it/,
  );
});

test('what onejob does not do yet is refused with its line before anything is started', async () => {
  const workflow = GOOD.replace('run: echo hi', 'uses: docker://alpine:3');
  const result = await runWorkflow(workflow);
  checkRefusal(result, 1, /ci\.yml:6:15: .*docker:\/\/alpine:3.*cannot run yet/, /refused/);
  assert.doesNotMatch(result.stdout, /starting a machine/);
});

test('an image that is not there is refused by name', async () => {
  // Only who starts a platform chooses its image.
  await using alone = new CommandLine();
  const environment = { ONEJOB_CACHE_DIR: `${alone.data}-no-images` };
  const place = { directory: good.directory, environment };
  checkRefusal(
    await alone.run(['run', '--image', 'nope'], place),
    3,
    /no guest image "nope" in .*no-images/,
  );
});

test('files that are missing or not what they should be are refused by name', async () => {
  const text = shared.write('text', 'not JSON');
  checkRefusal(
    await runGood('--event-file', text),
    3,
    new RegExp(`--event-file ${text} is not JSON`),
  );
  checkRefusal(
    await runGood('--secret-file', '/nowhere'),
    3,
    /--secret-file \/nowhere cannot be read: there is no such file/,
  );
  const secrets = shared.write('secrets', 'A=1\n{"TOKEN": "s3cr3t"}\n');
  const broken = await runGood('--secret-file', secrets);
  checkRefusal(broken, 3, /secrets:2: this line is no NAME=value/);
  assert.doesNotMatch(broken.stderr, /s3cr3t/);
  checkRefusal(
    await runGood('-W', '/etc/hostname'),
    2,
    /-W \/etc\/hostname is not inside the checkout/,
  );
  checkRefusal(await runGood('-W', 'nope.yml'), 3, /-W nope\.yml: there is no such file/);
});

test('a checkout without a workflow, or with one that git ignores, has nothing to run', async () => {
  await using empty = makeCheckout({ 'a.txt': '', '.gitignore': 'ignored.yml' });
  checkRefusal(await shared.run(RUN, { directory: empty.directory }), 3, /\.github\/workflows/);
  empty.write('ignored.yml', GOOD);
  checkRefusal(
    await shared.run([...RUN, '-W', 'ignored.yml'], { directory: empty.directory }),
    3,
    /no file ignored\.yml\. What git ignores/,
  );
});

test('a directory without a checkout is refused', async () => {
  checkRefusal(
    await shared.run(RUN, { directory: '/' }),
    3,
    /\/ is not in a git checkout.*git init/,
  );
});

test('a host without git says so, as a fault of the host and not of the checkout', async () => {
  const result = await shared.run(RUN, {
    directory: good.directory,
    environment: { PATH: '/nowhere' },
  });
  checkRefusal(result, 4, /git cannot be started.*apt-get install git/);
});

test('wrong flags and commands are corrected', async () => {
  const wrong = async (...words: string[]): Promise<Ended> =>
    await shared.run(words, { directory: good.directory });
  checkRefusal(
    await wrong('rnu'),
    2,
    /unknown command 'rnu'/,
    /Did you mean run\?/,
    /onejob --help/,
  );
  checkRefusal(await wrong('run', '--jsn'), 2, /Did you mean --json\?/, /See: onejob run --help/);
  checkRefusal(
    await wrong('run', '--driver', 'vm'),
    2,
    /auto, qemu, firecracker, gvisor, docker, process/,
  );
  checkRefusal(await wrong('run', 'extra'), 2, /too many arguments/, /A job is chosen with --job/);
  checkRefusal(await wrong('run', '--event-file'), 2, /argument missing/);
  checkRefusal(await wrong('run', '--matrix', 'node'), 2, /key:value/);
  checkRefusal(
    await wrong('run', '-s', 'NOT_SET_ANYWHERE'),
    2,
    /set the variable NOT_SET_ANYWHERE/,
  );
  checkRefusal(await wrong('run', '--input', 'a=b'), 2, /--event workflow_dispatch/);
  checkRefusal(await wrong('cancel'), 2, /missing required argument 'run'/);
  checkRefusal(await wrong('list', '--limit', 'many'), 2, /--limit many: a whole number/);
  checkRefusal(await wrong('image', 'bild'), 2, /Did you mean build\?/, /onejob image --help/);
  checkRefusal(await wrong('image', 'import'), 2, /missing required argument 'path'/);
  checkRefusal(await wrong('image', 'import', 'x'), 3, /nothing to import at .*\/x/);
  checkRefusal(await wrong('help', 'rnu'), 2, /unknown command 'rnu'/, /Did you mean run\?/);
  checkRefusal(await wrong('image', 'bild', '--help'), 2, /unknown command 'bild'/);
  checkRefusal(await wrong('--data-dir', '', 'list'), 2, /--data-dir is empty/);
  checkRefusal(await wrong('run', '-e', ''), 2, /--event is empty/);
});
