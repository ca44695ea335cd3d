/** Control groups of version 2, in the kernel of a sandbox: this host may have version 1 only. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';

const cacheDir = join(homedir(), '.cache', 'onejob');
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-probe-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));

const image = await ensureImage({ cacheDir });
const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });

/** Our own files, laid out in the guest as here. */
const SOURCES = ['src/errors.ts', 'src/host/cgroup.ts', 'src/host/cgroup-disk.ts'] as const;

const TRIAL = `
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import * as cgroup from './src/host/cgroup.ts';
import { limitDisk } from './src/host/cgroup-disk.ts';
const found = await cgroup.findCgroups();
console.log('version=' + (found.version ?? found.whyNot));
const paths = cgroup.cgroupPaths(found, 'sb0');
const limits = { cpus: 1.5, memoryBytes: 32 * 1024 * 1024, processes: 500, weight: 250 };
await cgroup.createCgroup(found, paths, limits);
await limitDisk(paths, '/work', { bytesPerSecond: 8_388_608, operationsPerSecond: 70 });
for (const file of ['memory.max', 'cpu.max', 'cpu.weight', 'pids.max', 'io.max']) {
  console.log(file + '=' + readFileSync(paths[0] + '/' + file, 'utf8').trim());
}
const [command, ...args] = [...cgroup.cgroupPrefix(paths), 'bash', '-c', 'tail /dev/zero; echo tail=$?'];
console.log(spawnSync(command, args, { encoding: 'utf8' }).stdout.trim());
console.log('oomKills=' + cgroup.cgroupOomKills(paths));
const [sleeper, ...rest] = [...cgroup.cgroupPrefix(paths), 'sh', '-c', 'sleep 60 & echo; sleep 60'];
const asleep = spawn(sleeper, rest, { stdio: ['ignore', 'pipe', 'ignore'] });
await new Promise((resolve) => asleep.stdout.once('data', resolve));
await cgroup.removeCgroup(paths);
await cgroup.removeCgroup(paths);
console.log('left=' + paths.filter(existsSync).length);
`;

test('groups of version 2 hold memory, processor and process limits, and are removed whole', async () => {
  await using lab = await SandboxLab.open(image, guestRunnerPath);
  const sandbox = await lab.newSandbox();
  const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory });
  const handle = await driver.provision(sandbox.request, sandbox.stack);
  const write = (path: string, text: string): string =>
    `base64 -d > ${path} <<< ${Buffer.from(text).toString('base64')}`;
  const sources = await Promise.all(
    SOURCES.map(async (path) =>
      write(path, await readFile(join(import.meta.dirname, '..', path), 'utf8')),
    ),
  );
  const said = await runScript(
    handle,
    ['mkdir -p src/host', ...sources, write('trial.mts', TRIAL), 'node trial.mts'].join('\n'),
  );
  const lines = said.log.split('\n').filter((line) => /^[\w.]+=/.test(line));
  const oomKills = lines.find((line) => line.startsWith('oomKills='));
  assert.deepEqual(
    lines.filter((line) => line !== oomKills),
    [
      'version=2',
      `memory.max=${32 * 1024 * 1024}`,
      'cpu.max=150000 100000',
      'cpu.weight=250',
      'pids.max=500',
      'io.max=254:16 rbps=8388608 wbps=8388608 riops=70 wiops=70',
      'tail=137',
      'left=0',
    ],
    said.log.split('##[endgroup]').at(-1),
  );
  assert.notEqual(oomKills, 'oomKills=0');
  await handle.kill();
  await lab.bury(sandbox);
});
