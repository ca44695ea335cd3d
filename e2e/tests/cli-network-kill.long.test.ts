/** What a killed agent leaves of a machine with a network of its own, in a host that is made for it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { MAIN } from './_command-line.ts';
import { openNetworkHost } from './_network-host.ts';

const { line, run, whyNot } = await openNetworkHost(`name: ci
on: push
jobs:
  nat:
    runs-on: ubuntu-latest
    steps:
      - run: echo "it" "is there"; sleep 600
`);

const KILLS = join(import.meta.dirname, '_network-kills.ts');
/** Far above what a round takes where machines are emulated. */
const ROUND_MS = 900_000;

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
  if (whyNot !== undefined) return t.skip(whyNot);
  const { status, stdout, stderr } = run(['sh', '-c', SCRIPT], {
    ONEJOB: `${process.execPath} ${MAIN} --data-dir ${line.data}`,
    LOG: line.write('log', ''),
  });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^killed: 1 1 1$/m);
  for (const what of ['interface oj', 'nftables table inet onejob_', 'network namespace onejob-']) {
    assert.match(stdout, new RegExp(`^removed +${what}.*no live sandbox has that id$`, 'm'));
  }
  assert.match(stdout, /^again: Nothing was left behind\.$/m);
  assert.match(stderr, /^left: nothing$/m);
});

test('an agent killed at any line of the journal of a machine with a network leaves nothing of it', (t) => {
  if (whyNot !== undefined) return t.skip(whyNot);
  const { status, stdout, stderr } = run([process.execPath, KILLS], {}, ROUND_MS);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^killed at each of \d\d lines$/m);
  assert.match(stderr, /^left: nothing$/m);
});
