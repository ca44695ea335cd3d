/** The contract between the guest's init and the host, on a real boot of a real image. */
import assert from 'node:assert/strict';
import { constants, copyFile, mkdtempDisposable, open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { writeCompileCache } from '../src/compile-cache.ts';
import { bundleGuestRunner, ensureImage, type GuestImage } from '../src/index.ts';
import { findGuestNode } from '../src/root-filesystem.ts';
import { makeRunTool } from '../src/tool.ts';
import { bootGuest, sharedCacheDir, type GuestRun } from './_guest.ts';

const PROBE = join(import.meta.dirname, '_probe-runner.ts');
/** Of the root disk. */
const BLOCK_BYTES = 4096;

interface Inspection {
  commands: string[];
  year: number;
  hostname: string;
  hosts: string;
  machineId: string;
  resolver: string;
  environment: Record<string, string>;
  oomScoreAdjust: string;
  mounts: Record<string, string>;
  modes: Record<string, string>;
  ports: Record<string, string>;
  addresses: string;
  steered: Record<string, unknown>;
  programs: string;
  modules: string;
  controllers: string;
  python: string;
  compileCache: string;
  child: string;
  childDescriptors: string;
  pipes: string;
  substitution: string;
  fillDisk: string;
  orphan: string;
}

function eventNames(run: GuestRun): string[] {
  return run.events.map(({ event }) => event);
}

suite('a booted guest image', () => {
  let image: GuestImage;
  before(async () => {
    image = await ensureImage({
      cacheDir: sharedCacheDir(),
      guestRunnerEntry: PROBE,
    });
  });

  test('bare mode runs Node alone and reports each stage in order', async (t) => {
    const run = await bootGuest(image, { append: '-- bare' });
    assert.deepEqual(eventNames(run), ['kernel', 'mounted', 'runner_started', 'runner_exited']);
    const last = run.events.at(-1);
    assert.equal(last?.status, 0);
    assert.equal(last?.signal, null);
    assert.equal(last?.oomKills, 0);
    assert.equal(last?.output, '');
    const stages = run.events.map(({ event, uptimeMs }) => `${event} ${uptimeMs}`);
    t.diagnostic(`${stages.join(', ')} (guest ms); qemu gone after ${run.elapsedMs} ms`);
  });

  test('the runner finds disks, mounts, ports, names and programs as promised', async () => {
    const run = await bootGuest(image, { append: 'onejob.probe=inspect', workDiskMiB: 256 });
    const last = run.events.at(-1);
    assert.equal(last?.status, 7, JSON.stringify(run.events));
    const seen = JSON.parse(last?.output ?? '') as Inspection;
    assertCommands(seen);
    assertMounts(seen);
    assert.deepEqual(seen.environment, {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      LANG: 'C.UTF-8',
      ONEJOB_CARRIER: 'virtio',
    });
    assert.equal(seen.oomScoreAdjust, '-900');
    for (const [name, target] of Object.entries(seen.ports)) {
      assert.match(target, /^\.\.\/vport\d+p\d+$/, name);
    }
    assert.match(
      seen.addresses,
      /^lo\s+UNKNOWN\s+127\.0\.0\.1\/8 198\.18\.0\.53\/32 ::1\/128\s*\n1\n/,
    );
    assert.match(seen.addresses, /Network is unreachable/);
    assert.match(seen.addresses, /local 198\.19\.7\.7 dev lo/);
    assert.deepEqual(seen.steered, {
      '198.19.7.7:443': '198.19.7.7:443',
      '198.19.7.7:8443': '198.19.7.7:8443',
      '192.0.2.1:22': '192.0.2.1:22',
      '127.0.0.1:8443': 'own',
      resolver: ['udp', 'tcp'],
    });
    assert.equal(seen.programs.split('\n').length, 11, seen.programs);
    assert.equal(seen.modules, 'bridge\nnft_compat');
    assert.equal(seen.controllers, 'cpuset cpu io memory pids');
    assert.equal(seen.python, '1');
    assert.match(seen.pipes, /^\d+ fifo 600$/);
    assertCompileCache(seen);
    assert.equal(seen.substitution, 'through /dev/fd');
    assert.doesNotMatch(seen.orphan, /Z/, 'a dead orphan was not reaped');
  });

  test('a compile cache that is damaged on the disk is not used, and the runner runs', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-damaged-'));
    const cachePath = join(scratch.path, 'cache');
    const bundle = await bundleGuestRunner({ cacheDir: sharedCacheDir(), entry: PROBE });
    const { path: node } = await findGuestNode();
    const lock = await open(join(scratch.path, 'lock'), 'a');
    const setting = { logPath: join(scratch.path, 'log'), lockFd: lock.fd, signal: undefined };
    await writeCompileCache(makeRunTool(setting), { node, bundle: bundle.path, target: cachePath });
    await lock.close();
    const rootPath = join(scratch.path, 'root.erofs');
    await copyFile(image.rootPath, rootPath, constants.COPYFILE_FICLONE);
    // made again it is the same, to the byte, so its first blocks can be found on the disk
    const cache = (await readFile(cachePath)).subarray(0, 2 * BLOCK_BYTES);
    const at = (await readFile(rootPath)).indexOf(cache);
    assert.ok(at > 0, 'the cache on the disk is another than the one made now');
    const disk = await open(rootPath, 'r+');
    await disk.write(Buffer.alloc(100, 0x55), 0, 100, at + BLOCK_BYTES);
    await disk.close();
    const damaged = { ...image, rootPath };
    for (const [one, expected] of [
      [image, 'accepted'],
      [damaged, 'unusable'],
    ] as const) {
      const last = (await bootGuest(one, { append: 'onejob.probe=cache' })).events.at(-1);
      assert.deepEqual([last?.status, last?.output], [0, expected]);
    }
  });

  test('a process killed for memory is reported, and the killed runner by its signal', async () => {
    const run = await bootGuest(image, { append: 'onejob.probe=memory' });
    const last = run.events.at(-1);
    assert.equal(last?.event, 'runner_exited');
    assert.equal(last.status, null);
    assert.equal(last.signal, 9);
    assert.ok((last.oomKills ?? 0) >= 1, JSON.stringify(run.events));
    assert.ok(eventNames(run).includes('oom_kill'));
  });

  test('of a long output the last 16 KiB arrive, byte for byte', async () => {
    const run = await bootGuest(image, { append: 'onejob.probe=output' });
    const last = run.events.at(-1);
    assert.equal(last?.status, 3);
    const whole = `${'"\\\n'.repeat(20_000)}the end`;
    assert.equal(last.output, whole.slice(-16 * 1024));
  });

  test('a guest without its work disk says so and switches off', async () => {
    const run = await bootGuest(image, { workDiskMiB: 0 });
    assert.deepEqual(eventNames(run), ['kernel', 'failed']);
    assert.match(
      run.events.at(-1)?.message ?? '',
      /^no virtio disk with serial work after \d+ ms$/,
    );
  });

  test('a guest whose host never connects to its ports still runs and switches off', async () => {
    const run = await bootGuest(image, { append: '-- bare', isHostListening: false });
    assert.deepEqual(run.events, []);
  });
});

/** Taken by the guest's Node on the guest's processor; nothing of it is in a process of the job. */
function assertCompileCache(seen: Inspection): void {
  assert.equal(seen.compileCache, 'accepted');
  const [flags, environment] = JSON.parse(seen.child) as [string[], Record<string, string>];
  assert.deepEqual(flags, []);
  // the shell between the two adds its own
  for (const name of ['_', 'OLDPWD', 'PWD', 'SHLVL']) delete environment[name];
  assert.deepEqual(environment, seen.environment);
  assert.equal(seen.childDescriptors, '0');
}

function assertCommands(seen: Inspection): void {
  assert.deepEqual(seen.commands, [
    'ok',
    'error entropy takes 1 to 256 bytes as hex',
    'error unknown command',
    'error entropy takes 1 to 256 bytes as hex',
    'ok',
    'error clock takes Unix milliseconds between 2020 and 2100',
    'error clock takes Unix milliseconds between 2020 and 2100',
    'ok',
    'error hostname takes 1 to 63 of a-z, 0-9 and -',
    'ok',
    'error machine-id takes 32 lower-case hex digits',
    'error unknown command',
    'error line too long',
    'ok',
  ]);
  assert.equal(seen.year, 2027);
  assert.equal(seen.hostname, 'sandbox-7\nsandbox-7');
  assert.equal(
    seen.hosts,
    '127.0.0.1 localhost onejob.localhost sandbox-7\n::1 localhost onejob.localhost\n',
  );
  assert.equal(seen.machineId, '0123456789abcdef0123456789abcdef');
  assert.equal(seen.resolver, 'nameserver 198.18.0.53\n');
}

function assertMounts(seen: Inspection): void {
  assert.match(seen.mounts['/'] ?? '', /^overlay rw/);
  for (const path of ['/work', '/tmp', '/var/tmp', '/root', '/home', '/var/lib/docker']) {
    assert.match(seen.mounts[path] ?? '', /^ext4 rw.*data=writeback/, path);
  }
  assert.match(seen.mounts['/dev/shm'] ?? '', /^tmpfs/);
  assert.match(seen.mounts['/dev/pts'] ?? '', /^devpts/);
  assert.match(seen.mounts['/sys/fs/cgroup'] ?? '', /^cgroup2/);
  assert.deepEqual(seen.modes, {
    '/tmp': '1777',
    '/var/tmp': '1777',
    '/root': '700',
    '/home': '755',
    '/work': '755',
  });
  // 2 GB into a 256 MB disk, in 512 MB of memory: the disk is the limit, and the guest goes on
  assert.match(seen.fillDisk, /No space left on device/);
}
