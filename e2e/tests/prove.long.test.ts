import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ensureImage } from '@onejob/image';
import type { Report } from '@onejob/prove';
import { TEST_CACHE } from '@onejob/testing';
import { findProgram, whyNoEngine } from '@onejob/testing/container-engine';
import { CommandLine } from './_command-line.ts';
import { proveWith, tellFindings } from './_proof.ts';

const HELD_AT_LEAST = 60;

test('every attack on a machine with a kernel of its own is stopped, and at least 60 count', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  await using line = new CommandLine();
  const { report, code } = await proveWith(line, ['--driver', 'qemu']);
  assert.equal(report.totals.broken, 0, tellFindings(report));
  assert.ok(report.totals.held >= HELD_AT_LEAST, tellFindings(report));
  assert.equal(verdictOf(report, 'monitor-devices'), 'held', tellFindings(report));
  assert.equal(code, 0);
});

/** What root in a container of the host's kernel sees of it, is there, and takes: SECURITY.md says so. */
const OF_THE_HOSTS_KERNEL = [
  ...['boot-id', 'boot-time', 'kernel-version', 'kernel-command-line', 'kernel-modules'],
  ...['pci-devices', 'dmi', 'disks', 'memory-size', 'many-processes', 'large-file'],
  ...['monitor-user', 'monitor-capabilities', 'remains-content'],
];

const brokenOf = ({ findings }: Report): string[] =>
  findings.filter(({ verdict }) => verdict === 'broken').map(({ id }) => id);

const verdictOf = ({ findings }: Report, id: string): string | undefined =>
  findings.find((finding) => finding.id === id)?.verdict;

test("a kernel of gVisor's stops every attack but one: its processes are processes of the host", async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  if (findProgram('runsc') === undefined) return t.skip('not installed: runsc');
  await using line = new CommandLine();
  const { report } = await proveWith(line, ['--driver', 'gvisor']);
  assert.deepEqual(
    brokenOf(report).filter((id) => id !== 'many-processes'),
    [],
    tellFindings(report),
  );
  assert.ok(report.totals.held >= HELD_AT_LEAST, tellFindings(report));
  for (const id of ['much-memory', 'memory-size', 'devices', 'process-list', 'monitor-limits']) {
    assert.equal(verdictOf(report, id), 'held', tellFindings(report));
  }
  // Stopped, but without a control.
  for (const id of ['full-log', 'link-message', 'link-frames']) {
    assert.equal(verdictOf(report, id), 'not counted', tellFindings(report));
  }
});

test("a container stops what does not hang on a kernel of its own, and is tried on no engine of the host's", async (t) => {
  const whyNot = whyNoEngine();
  if (whyNot !== undefined) return t.skip(whyNot);
  await using line = new CommandLine();
  const { report, code } = await proveWith(line, ['--driver', 'docker']);
  assert.deepEqual(
    brokenOf(report).filter((id) => !OF_THE_HOSTS_KERNEL.includes(id)),
    [],
    tellFindings(report),
  );
  assert.ok(report.totals.held >= HELD_AT_LEAST, tellFindings(report));
  assert.equal(verdictOf(report, 'boot-id'), 'broken');
  assert.equal(verdictOf(report, 'kernel-core-pattern'), 'not tried');
  // Plain files while it runs; what else there is of it is found then, and nothing afterwards.
  assert.equal(verdictOf(report, 'remains-content'), 'broken', tellFindings(report));
  for (const id of ['remains-container', 'remains-group', 'remains-process', 'remains-mount']) {
    assert.equal(verdictOf(report, id), 'held', tellFindings(report));
  }
  assert.equal(code, 1);
});

test('an interface of its own is no way out for an attack: no closed address, no foreign name', async (t) => {
  await proveNetwork(t, 'qemu', ['monitor-user']);
});

test("nor is a container's: the same walls hold it", async (t) => {
  const whyNot = whyNoEngine();
  if (whyNot !== undefined) return t.skip(whyNot);
  await proveNetwork(t, 'docker', ['remains-container']);
});

/** What the host has for a sandbox with a network: found while it runs, and gone with it. */
const OF_A_NETWORK = ['remains-interface', 'remains-packet-rules', 'remains-network'];

/** On every way that there is from one to another, and where the one shows itself. */
const OF_THE_NEIGHBOUR = [
  ...['port', 'socket', 'file', 'memory', 'process', 'proxy', 'proxy-6'],
  ...['address', 'address-6', 'namespace', 'namespace-6', 'host-end', 'host-end-6'],
  ...['ping', 'ping-6', 'ping-host-end', 'ping-host-end-6'],
].map((id) => `neighbour-${id}`);

async function proveNetwork(t: TestContext, driver: string, more: readonly string[]) {
  const tools = ['/usr/sbin/nft', '/usr/sbin/conntrack', '/dev/net/tun'];
  if (process.getuid?.() !== 0 || !tools.every((path) => existsSync(path))) {
    return t.skip('it takes root, nftables and conntrack');
  }
  await using line = new CommandLine();
  const some = ['monitor-network', 'link-frames', ...OF_A_NETWORK, ...OF_THE_NEIGHBOUR, ...more];
  const only = ['--only', 'network', ...some];
  const { report, code } = await proveWith(line, ['--driver', driver, '--network', 'nat', ...only]);
  assert.equal(report.network, 'nat');
  // That is stopped, but without a control.
  assert.equal(verdictOf(report, 'link-frames'), 'not counted', tellFindings(report));
  assert.equal(report.totals.held, report.findings.length - 1, tellFindings(report));
  const lies = ['spoofed-source', 'spoofed-source-6', 'spoofed-card', 'spoofed-neighbour'];
  for (const id of [...lies, ...OF_THE_NEIGHBOUR]) {
    assert.equal(verdictOf(report, id), 'held', tellFindings(report));
  }
  assert.match(report.notes.join(), /A public address was reached/);
  assert.equal(code, 0);
}

test('the report names the image that its jobs had: what was promoted, and not what onejob builds', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('namespaces for the proof need root');
  if (findProgram('runsc') === undefined) return t.skip('not installed: runsc');
  const own = await ensureImage({ cacheDir: TEST_CACHE });
  await using line = new CommandLine();
  const far = { environment: { ONEJOB_CACHE_DIR: `${line.data}-cache` } };
  const source = join(TEST_CACHE, 'images', own.digest);
  assert.equal((await line.run(['image', 'import', source, '--name', 'mine'], far)).code, 0);
  const promote = ['image', 'promote', 'mine', '--max-severity', 'none'];
  assert.equal((await line.run(promote, far)).code, 0);
  const listed = async () =>
    JSON.parse((await line.run(['image', 'list', '--json'], far)).stdout) as { digest: string }[];
  const [mine] = await listed();
  const { report } = await proveWith(line, ['--driver', 'gvisor', '--only', 'boot-id'], far);
  assert.equal(report.image, mine?.digest);
  assert.equal(verdictOf(report, 'boot-id'), 'held', tellFindings(report));
  assert.equal((await listed()).length, 1, 'nothing was built: its jobs can have had no other');
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
