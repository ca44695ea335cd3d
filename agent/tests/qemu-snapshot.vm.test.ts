/**
 * Machines that are restored from one snapshot: each does a job as a booted one does, shares nothing
 * with another that anybody can see, and is booted where its snapshot cannot be used.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';
import { RANDOM_VALUES, said } from './_restored-machines.ts';
import { findQemu, SandboxLab } from './_sandbox-lab.ts';

const cacheDir = join(homedir(), '.cache', 'onejob');
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-snapshots-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));

const image: MachineImage = await ensureImage({ cacheDir });
const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });
const openLab = async (): Promise<SandboxLab> => await SandboxLab.open(image, guestRunnerPath);
const newDriver = ({ hostMarker }: SandboxLab): SandboxDriver =>
  createQemuDriver({ hostMarker, cacheDirectory, settleMs: 0 });

/** The one snapshot that all tests here use, made when it is not there. */
async function withSnapshot(lab: SandboxLab): Promise<SandboxDriver> {
  const driver = newDriver(lab);
  const sandbox = await lab.newSandbox();
  const { shape } = sandbox.request;
  if (await driver.snapshots?.isMissing({ shape, image })) {
    await driver.snapshots?.make(sandbox.request, sandbox.stack);
  }
  await lab.bury(sandbox);
  assert.equal(await driver.snapshots?.isMissing({ shape, image }), false);
  assert.ok(await driver.snapshots?.isMissing({ shape, image, tenant: 'acme' }), "it is nobody's");
  return driver;
}

/** Asks the runner itself, which was alive in the snapshot, through its debugger. */
const RUNNER_VALUES = String.raw`
kill -USR1 $PPID
cat > "$RUNNER_TEMP/ask.mjs" <<'EOF'
let address;
for (let tries = 0; address === undefined && tries < 200; tries++) {
  const list = await fetch('http://127.0.0.1:9229/json').then((answer) => answer.json(), () => []);
  address = list[0]?.webSocketDebuggerUrl;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
const socket = new WebSocket(address);
await new Promise((resolve) => (socket.onopen = resolve));
const expression = "process.getBuiltinModule('crypto').randomBytes(16).toString('hex')";
socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }));
const { data } = await new Promise((resolve) => (socket.onmessage = resolve));
console.log('=runner=' + JSON.parse(data).result.result.value);
socket.close();
EOF
NO_PROXY=127.0.0.1 node "$RUNNER_TEMP/ask.mjs"
`;

test('two restores of one snapshot share no random value; the runner, which lived in it, would', async () => {
  await using lab = await openLab();
  const driver = await withSnapshot(lab);
  const both = [
    await said(lab, driver, RANDOM_VALUES + RUNNER_VALUES),
    await said(lab, driver, RANDOM_VALUES + RUNNER_VALUES),
  ] as const;
  for (const { handle } of both) assert.match(handle.note, /; restored from a machine snapshot$/);
  const [one, other] = both.map(({ values }) => values) as [
    Map<string, string>,
    Map<string, string>,
  ];
  assert.equal(one.size, 19, [...one.keys()].join());
  for (const [name, value] of one) {
    if (name !== 'runner') assert.notEqual(other.get(name), value, name);
  }
  // Control: they are restores of the same memory, and a value that is shared is seen to be.
  assert.match(one.get('runner') ?? '', /^[0-9a-f]{32}$/);
  assert.equal(other.get('runner'), one.get('runner'));
  driver.snapshots?.close();
});

test('a restored machine has its own name, clock and disk, and nothing of the rehearsal', async () => {
  await using lab = await openLab();
  const driver = await withSnapshot(lab);
  const script = `
    test ! -e /work/mine && echo secret-of-one > /work/mine && sync
    echo "=files=$(ls -A /work | grep -v lost+found | tr '\\n' ' ')"
    echo "=hostname=$(hostname)"
    echo "=clock=$(date +%s)"
    echo "=processes=$(ps -e -o args= | grep -c '[r]ehears')"`;
  for (let round = 0; round < 2; round++) {
    const { values, handle } = await said(lab, driver, script);
    assert.match(handle.note, /; restored from a machine snapshot$/);
    assert.deepEqual(Object.keys(handle.phasesMs), ['slot', 'provision', 'restore', 'bridge']);
    assert.equal(values.get('files'), '.system _temp _tool contract mine ');
    assert.equal(values.get('hostname'), 'contract');
    assert.ok(Math.abs(Number(values.get('clock')) - Date.now() / 1000) < 30);
    assert.equal(values.get('processes'), '0');
  }
  driver.snapshots?.close();
});

test('a restored machine is confined as a booted one, and its monitor is gone before it has a job', async () => {
  await using lab = await openLab();
  const driver = await withSnapshot(lab);
  const sandbox = await lab.newSandbox();
  const handle = await driver.provision(sandbox.request, sandbox.stack);
  assert.match(handle.note, /; restored from a machine snapshot$/);
  const { pid } = await findQemu(lab.hostMarker);
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  assert.match(status, /^CapEff:\t0+$/m);
  assert.match(status, /^Seccomp:\t2$/m);
  if (process.getuid?.() === 0) assert.doesNotMatch(status, /^Uid:\t.*\b0\b/m);
  if (/its own .*root directory/.test(handle.note)) {
    const root = `/proc/${pid}/root`;
    assert.deepEqual((await readdir(join(root, 'run'))).toSorted(), ['fd', 'secret']);
    assert.deepEqual((await readdir(join(root, 'link'))).toSorted(), [
      ...['bulk', 'control', 'init', 'monitor'],
    ]);
  }
  // Control, bulk and init; its output and its errors.
  assert.equal(socketsOf(pid).length, 5, socketsOf(pid).join());
  await handle.kill();
  await lab.bury(sandbox);
  driver.snapshots?.close();
});

const socketsOf = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`)
    .map((name) => readlinkSync(`/proc/${pid}/fd/${name}`))
    .filter((target) => target.startsWith('socket:'));

test('what jobs do changes nothing of a snapshot', async () => {
  await using lab = await openLab();
  const driver = await withSnapshot(lab);
  const before = await digests();
  await said(
    lab,
    driver,
    'dd if=/dev/urandom of=/work/fill bs=1M count=20; sync; sysctl -w vm.drop_caches=3',
  );
  assert.deepEqual(await digests(), before);
  driver.snapshots?.close();
});

async function digests(): Promise<string[]> {
  const root = join(cacheDirectory, 'snapshots');
  const [key = ''] = await readdir(root);
  return await Promise.all(
    ['memory', 'state', 'disk'].map(async (name) =>
      createHash('sha256')
        .update(await readFile(join(root, key, name)))
        .digest('hex'),
    ),
  );
}

test('one that cannot be restored is booted instead, says why, and is not tried again', async () => {
  await using lab = await openLab();
  (await withSnapshot(lab)).snapshots?.close();
  const root = join(cacheDirectory, 'snapshots');
  const [key = ''] = await readdir(root);
  await truncate(join(root, key, 'state'), 4096);
  const driver = newDriver(lab);
  const { handle, values } = await said(lab, driver, 'echo "=done=yes"');
  assert.match(handle.note, /; booted, since its snapshot could not be restored: /);
  assert.equal(values.get('done'), 'yes');
  assert.deepEqual(await readdir(root), []);
  driver.snapshots?.close();
});
