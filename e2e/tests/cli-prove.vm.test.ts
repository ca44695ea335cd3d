import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandLine } from './_command-line.ts';
import { proveWith, tellFindings } from './_proof.ts';

/** All of one machine: the short form of prove.long.test.ts. */
const SOME = [
  ...['boot-id', 'hostname', 'file-read', 'file-write', 'process-list', 'socket-docker'],
  ...['metadata-aws', 'private-10', 'loopback', 'rebinding', 'udp', 'dns-data', 'log-base64'],
  ...['monitor-user', 'monitor-capabilities', 'monitor-files', 'monitor-network', 'monitor-limits'],
  ...['kernel-core-pattern', 'kernel-release-agent', 'remains-process', 'remains-content'],
];

test('attacks on a machine with a kernel of its own are held, and each of them counts', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  await using line = new CommandLine();
  const { report, code } = await proveWith(line, ['--driver', 'qemu', '--only', ...SOME]);
  assert.equal(report.totals.held, SOME.length, tellFindings(report));
  assert.match(report.notes.join(), /A public address was reached/);
  assert.match(report.image, /^[0-9a-f]{64}$/);
  assert.equal(code, 0);
});
