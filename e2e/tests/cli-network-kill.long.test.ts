/**
 * What a killed agent leaves of a machine with a network of its own, in a host that is made for it. What stays is
 * looked for twice: by our own names, and by an inventory of that host which knows none.
 */
import assert from 'node:assert/strict';
import type { SpawnSyncReturns } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { EXIT_SOMETHING_STAYED, INVENTORY, NOTHING_STAYED } from '@onejob/testing';
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
const KILL = `
: > "$LOG"
$ONEJOB run --driver qemu --network nat > "$LOG" 2>&1 &
agent=$!
until grep -q 'it is there' "$LOG"; do kill -0 $agent || { cat "$LOG"; exit 1; }; sleep 0.2; done
kill -KILL $agent
wait
`;

/** Also told $KILL and $INVENTORY. The first kill prepares the host, too: the directory of iproute2 stays. */
const SCRIPT = `
$INVENTORY --settle 0 -- sh -c "$KILL"
echo "exit code of the control: $?"
echo "killed: $(ip netns list | grep -c onejob-) $(nft list tables | grep -c onejob_) $(ip -o link | grep -c ': oj')"
$ONEJOB reap
echo "again: $($ONEJOB reap)"
echo "--- the same with reap"
$INVENTORY -- sh -c "$KILL $ONEJOB reap"
`;

let ran: SpawnSyncReturns<string> | undefined;

/** Undefined: skipped. What was said up to the second kill, and from there on. */
function reaped(t: TestContext): { control: string; same: string; stderr: string } | undefined {
  if (whyNot !== undefined) {
    t.skip(whyNot);
    return undefined;
  }
  const environment = {
    ONEJOB: `${process.execPath} ${MAIN} --data-dir ${line.data}`,
    INVENTORY: `${process.execPath} ${INVENTORY} --ignore ${line.data}`,
    ...{ KILL, LOG: line.write('log', '') },
    NODE_DISABLE_COMPILE_CACHE: '1',
  };
  ran ??= run(['sh', '-c', SCRIPT], environment, ROUND_MS);
  const { status, stdout, stderr } = ran;
  assert.equal(status, 0, stdout + stderr);
  const [control = '', same = ''] = stdout.split('--- the same with reap\n');
  return { control, same, stderr };
}

test('after a killed agent reap takes interface, packet rules and namespace away, once', (t) => {
  const said = reaped(t);
  if (said === undefined) return;
  const { control, stderr } = said;
  assert.match(control, /^killed: 1 1 1$/m);
  for (const what of ['interface oj', 'nftables table inet onejob_', 'network namespace onejob-']) {
    assert.match(control, new RegExp(`^removed +${what}.*no live sandbox has that id$`, 'm'));
  }
  assert.match(control, /^again: Nothing was left behind\.$/m);
  assert.match(stderr, /^left: nothing$/m);
});

test('after a killed agent and reap the host is as it was, by an inventory that knows no name', (t) => {
  const said = reaped(t);
  if (said === undefined) return;
  assert.match(said.same, /^removed +network namespace onejob-/m);
  assert.match(said.same, NOTHING_STAYED);
});

test('control: the inventory names what stays of a killed agent without reap', (t) => {
  const said = reaped(t);
  if (said === undefined) return;
  assert.match(
    said.control,
    new RegExp(`^exit code of the control: ${EXIT_SOMETHING_STAYED}$`, 'm'),
  );
  for (const what of [
    ...['network: \\+ oj[0-9a-f]{13}', 'packet filter rules: \\+ table inet onejob_'],
    ...['mounts: \\+ /run/netns/onejob-', 'namespaces: \\+ net:', 'files: \\+ /run/onejob-user-'],
  ]) {
    assert.match(said.control, new RegExp(`^ +${what}`, 'm'));
  }
});

test('an agent killed at any line of the journal of a machine with a network leaves nothing of it', (t) => {
  if (whyNot !== undefined) return t.skip(whyNot);
  const { status, stdout, stderr } = run([process.execPath, KILLS], {}, ROUND_MS);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^killed at each of \d\d lines$/m);
  assert.match(stderr, /^left: nothing$/m);
});
