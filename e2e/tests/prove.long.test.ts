import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { CommandLine } from './_command-line.ts';
import { proveWith, tellFindings } from './_proof.ts';

const HELD_AT_LEAST = 60;

test('every attack on a machine with a kernel of its own is stopped, and at least 60 count', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  await using line = new CommandLine();
  const { report, code } = await proveWith(line, ['--driver', 'qemu']);
  assert.equal(report.totals.broken, 0, tellFindings(report));
  assert.ok(report.totals.held >= HELD_AT_LEAST, tellFindings(report));
  assert.equal(code, 0);
});

test('without isolation the attacks get through', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  await using line = new CommandLine();
  const { report, code } = await proveWith(line, ['--driver', 'process']);
  assert.ok(report.totals.broken >= HELD_AT_LEAST, tellFindings(report));
  assert.equal(code, 1);
});

test('a proof that is interrupted leaves nothing, and says so with its exit code', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  await using line = new CommandLine();
  const scratch = (): string[] =>
    readdirSync(tmpdir()).filter((name) => name.startsWith('onejob-prove-'));
  const before = scratch();
  const proof = line.start(['prove', '--driver', 'process', '--only', 'identity']);
  await proof.saw(/attacks in a sandbox/);
  proof.child.kill('SIGINT');
  assert.equal((await proof.ended).code, 130);
  assert.deepEqual(scratch(), before);
});
