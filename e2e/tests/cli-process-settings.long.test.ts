/** What an operator says of the driver process holds for `onejob run`, too. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `on: push
jobs:
  who:
    runs-on: ubuntu-latest
    outputs: { user: '\${{ steps.who.outputs.user }}' }
    steps:
      - uses: actions/checkout@v4
      - id: who
        run: echo "user=$(id -u)" >> "$GITHUB_OUTPUT"
      - uses: actions/upload-artifact@v4
        with: { path: note.txt }
`,
  'note.txt': 'from the checkout',
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});

async function runWith(settings: object, ofHost: object = {}) {
  const place = {
    directory: checkout.directory,
    environment: {
      ONEJOB_PROCESS_SETTINGS: line.write('process.json', JSON.stringify(settings)),
      ONEJOB_HOST_SETTINGS: line.write('host.json', JSON.stringify(ofHost)),
    },
  };
  const { code, stdout, stderr } = await line.run(['run', '--driver', 'process', '--json'], place);
  const end = jsonLines<{ type: string; runs: Run[] }>(stdout).at(-1);
  return { code, stderr, job: end?.runs?.[0]?.jobs[0] };
}

test('a tenant that is not named is refused, with what to do', async () => {
  const { code, job } = await runWith({ trustedTenants: ['acme'] });
  assert.equal(code, 1);
  assert.deepEqual([job?.conclusion, job?.adoptedAtMs], ['refused', null]);
  assert.match(job?.endMessage ?? '', /does not trust the tenant local.*--driver auto/);
});

test('with `agent` a job is who runs the command, and without it a user of its own where that is root', async () => {
  const asked = await runWith({ user: 'agent' });
  assert.equal(asked.code, 0, asked.job?.endMessage);
  assert.equal(asked.job?.outputs['user'], String(process.getuid?.()));
  const own = await runWith({});
  assert.equal(own.code, 0, own.job?.endMessage);
  const user = Number(own.job?.outputs['user']);
  if (process.getuid?.() === 0) assert.ok(user >= 2_000_000_000, String(user));
  else assert.equal(user, process.getuid?.());
});

test('the users that jobs are may be said, too', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('users are made by root alone');
  const { code, job } = await runWith({}, { sandboxUsers: { first: 3_000_000_007, count: 1 } });
  assert.equal(code, 0, job?.endMessage);
  assert.equal(job?.outputs['user'], '3000000007');
});

test('settings that are not known keep a command from starting', async () => {
  const { code, stderr } = await runWith({ user: 'root' });
  assert.notEqual(code, 0);
  assert.match(stderr, /settings of the process driver in .*process\.json are refused: \/user/);
});
