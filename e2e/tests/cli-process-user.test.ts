/** `onejob run --driver process` of root, without any setting: who its jobs are, and where they cannot be. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines, MAIN } from './_command-line.ts';

const isRoot = process.getuid?.() === 0;
const line = await CommandLine.prepared();
// As a user's files are by default, in a directory that is the user's own.
const note = line.write('note', 'of root');
const checkout = makeCheckout({
  '.github/workflows/ci.yml': `on: push
jobs:
  who:
    runs-on: ubuntu-latest
    outputs:
      user: '\${{ steps.who.outputs.user }}'
      capabilities: '\${{ steps.who.outputs.capabilities }}'
      did: '\${{ steps.who.outputs.did }}'
    steps:
      - uses: actions/checkout@v4
      - id: who
        run: |
          exec 2> /dev/null
          echo "user=$(id -u) $(id -g) $(id -G)" >> "$GITHUB_OUTPUT"
          sets=$(grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):' /proc/self/status | cut -f 2 | sort -u)
          echo "capabilities=$sets" >> "$GITHUB_OUTPUT"
          did=$(cat own.txt)
          cat '${note}' && did="$did read-file"
          ls '${line.data}' && did="$did read-platform"
          cat /etc/shadow && did="$did read-passwords"
          test -w /etc && did="$did may-write"
          mount -t tmpfs none "$HOME" && did="$did mounted"
          echo "did=$did" >> "$GITHUB_OUTPUT"
`,
  'own.txt': 'its-own-source',
});
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const RUN = ['run', '--driver', 'process'];

test("root's job is an unprivileged user of its own, without capabilities, and reads no file of root's", async (t) => {
  if (!isRoot) return t.skip('takes root');
  const ended = await line.run([...RUN, '--json'], { directory: checkout.directory });
  const end = jsonLines<{ type: string; runs: Run[] }>(ended.stdout).at(-1);
  const { user = '', capabilities, did } = end?.runs[0]?.jobs[0]?.outputs ?? {};
  const [, uid] = /^(\d+) \1 \1$/.exec(user) ?? [];
  assert.ok(Number(uid) >= 2_000_000_000, user + ended.stdout + ended.stderr);
  assert.deepEqual([capabilities, did], ['0000000000000000', 'its-own-source']);
  assert.equal(ended.code, 0);
});

test('where root cannot make such a user nothing runs, and what to do is said', (t) => {
  if (!isRoot) return t.skip('takes root');
  // What root in a container lacks, for one.
  const less = ['--bounding-set=-sys_admin', '--inh-caps=-sys_admin', '--'];
  const { status, stderr } = spawnSync('setpriv', [...less, process.execPath, MAIN, ...RUN], {
    cwd: checkout.directory,
    encoding: 'utf8',
    env: { ...process.env, ONEJOB_DATA_DIR: line.data },
  });
  assert.equal(status, 4, stderr);
  assert.match(stderr, /^ {2}process: As root .*: unshare: .*Run onejob as another user, or/m);
  assert.match(stderr, /"user": "agent"} in the file that ONEJOB_PROCESS_SETTINGS names/);
  assert.doesNotMatch(stderr, /Trusted jobs can run/);
});
