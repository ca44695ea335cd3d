/** What a killed agent leaves of a machine with a network of its own, in a host that is made for it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, MAIN } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `name: ci
on: push
jobs:
  nat:
    runs-on: ubuntu-latest
    steps:
      - run: echo "it" "is there"; sleep 600
`,
});
/** Namespaces of its own, whose processes end with it. */
const OWN = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
before(async () => {
  const { code, stderr } = await line.run(['image', 'build']);
  assert.equal(code, 0, stderr);
});

/** Told $ONEJOB, a command, and $LOG, a file. */
const SCRIPT = `
$ONEJOB run --driver qemu --network nat > "$LOG" 2>&1 &
agent=$!
until grep -q 'it is there' "$LOG"; do kill -0 $agent || { cat "$LOG"; exit 1; }; sleep 0.2; done
kill -KILL $agent
wait
echo "killed: $(ip netns list | grep -c onejob-) $(nft list tables | grep -c onejob_) $(ip -o link | grep -c ': oj')"
$ONEJOB reap
echo "again: $($ONEJOB reap)"
`;

test('after a killed agent reap takes interface, packet rules and namespace away, once', (t) => {
  const tools = ['/usr/sbin/nft', '/usr/sbin/conntrack', '/dev/net/tun'];
  if (process.getuid?.() !== 0 || !tools.every((path) => existsSync(path))) {
    return t.skip('it takes root, nftables and conntrack');
  }
  const program = join(import.meta.dirname, '_public-place.ts');
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    [...OWN, process.execPath, program, 'sh', '-c', SCRIPT],
    {
      cwd: checkout.directory,
      env: {
        ...process.env,
        ONEJOB: `${process.execPath} ${MAIN} --data-dir ${line.data}`,
        LOG: line.write('log', ''),
      },
      encoding: 'utf8',
      timeout: 120_000,
    },
  );
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^killed: 1 1 1$/m);
  for (const what of ['interface oj', 'nftables table inet onejob_', 'network namespace onejob-']) {
    assert.match(stdout, new RegExp(`^removed +${what}.*no live sandbox has that id$`, 'm'));
  }
  assert.match(stdout, /^again: Nothing was left behind\.$/m);
  assert.match(stderr, /^left: nothing$/m);
});
