import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkRefusal, CommandLine } from './_command-line.ts';
import { proveWith, tellFindings, type Proved } from './_proof.ts';

const line = new CommandLine();
after(async () => await line[Symbol.asyncDispose]());
const isRoot = process.getuid?.() === 0;

/** One of each kind of probe and evidence. */
const SOME = [
  ...['boot-id', 'hostname', 'file-read', 'file-write', 'process-list', 'socket-docker'],
  ...['set-hostname', 'set-network', 'cgroup-create', 'device-change'],
  ...[
    'monitor-user',
    'monitor-files',
    'kernel-core-pattern',
    'lease-adoption',
    'lease-log-after-end',
  ],
  ...['metadata-aws', 'rebinding', 'spoofing', 'credential-aws', 'left-tmp', 'log-plain'],
];
let proved: Proved;
let file: string;

before(async () => {
  file = line.write('report.json', '');
  proved = await proveWith(line, ['--driver', 'process', '--only', ...SOME, '--report', file]);
});

test('a driver that isolates nothing is broken by every attack that tries its isolation', (t) => {
  if (!isRoot) return t.skip('namespaces for the proof need root');
  const { report } = proved;
  assert.equal(report.driver.name, 'process');
  assert.equal(report.notIsolated, '');
  const verdicts = Object.fromEntries(report.findings.map(({ id, verdict }) => [id, verdict]));
  // Logs are masked and leases are checked whatever the driver; the kernel is the real host's.
  const others = {
    'log-plain': 'held',
    'lease-adoption': 'held',
    'lease-log-after-end': 'held',
    'kernel-core-pattern': 'not tried',
  };
  const expected = Object.fromEntries(SOME.map((id) => [id, 'broken']));
  assert.deepEqual(verdicts, { ...expected, ...others }, tellFindings(report));
  assert.equal(proved.code, 1);
});

test('attacks that get through change no device, no setting and no control group of the host', () => {
  assert.deepEqual(proved.changes, []);
});

test('a report is written, signed with a key that only its owner may read', () => {
  assert.equal(readFileSync(file, 'utf8'), proved.stdout);
  assert.equal(statSync(join(line.data, 'host-key.pem')).mode & 0o777, 0o600);
});

test('a report verifies, and says what that proves', async () => {
  const { code, stdout } = await line.run(['prove', '--verify', file]);
  assert.equal(code, 0);
  assert.ok(stdout.includes(proved.fingerprint));
  assert.match(stdout, /not altered since/);
  assert.match(stdout, /is all this proves/);
  const named = await line.run(['prove', '--verify', file, '--key', proved.fingerprint, '--json']);
  assert.equal(named.code, 0);
  assert.equal((JSON.parse(named.stdout) as { verified: boolean }).verified, true);
});

test('a report that was altered, or that another key signed, is refused', async () => {
  const altered = line.write('altered.json', proved.stdout.replace('"broken"', '"held"'));
  checkRefusal(await line.run(['prove', '--verify', altered]), 3, /altered since it was signed/);
  const other = await line.run(['prove', '--verify', file, '--key', `SHA256:${'A'.repeat(43)}`]);
  checkRefusal(other, 3, /was signed by the key/);
  checkRefusal(await line.run(['prove', '--verify', '/nowhere']), 3, /cannot be read/);
});

test('wrong words are refused before anything is tried', async () => {
  checkRefusal(await line.run(['prove', '--driver', 'gvisr']), 2, /gvisor/);
  checkRefusal(await line.run(['prove', '--network', 'bridge']), 2, /link, nat/);
  checkRefusal(await line.run(['prove', '--only', 'burglary']), 2, /burglary/);
  checkRefusal(await line.run(['prove', '--key', 'x']), 2, /--verify/);
});

test('a driver that has no such network, or does not work here, is refused with what there is', async (t) => {
  if (!isRoot) return t.skip('namespaces for the proof need root');
  const bare = await line.run(['prove', '--driver', 'gvisor', '--network', 'nat']);
  checkRefusal(bare, 4, /gvisor: its machines have no network mode nat/);
});
