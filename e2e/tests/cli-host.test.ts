import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, MAIN } from './_command-line.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const checkout = makeCheckout({
  '.github/workflows/ci.yml':
    'name: ci\non: push\njobs: { hi: { runs-on: ubuntu-latest, steps: [{ run: echo hi }] } }\n',
});
after(async () => await checkout[Symbol.asyncDispose]());
/** No image is needed here, and none is built: an empty cache of its own. */
const emptyCache = (line: CommandLine) => ({
  environment: { ONEJOB_CACHE_DIR: `${line.data}-cache` },
});

test('up serves runs of any terminal and directory until it is told to stop', async () => {
  await using line = new CommandLine();
  const up = line.start(['up', '--listen', '127.0.0.1:0', '--network', 'link', '--pool', '1']);
  await up.saw(/Stop with Ctrl-C/);
  assert.match(up.output, new RegExp(`onejob is up\\. Data: ${line.data}`));
  assert.match(up.output, /driver process: /);
  const url = /API: (http:\/\/127\.0\.0\.1:\d+)/.exec(up.output)?.[1] ?? '';
  assert.equal((await fetch(`${url}/api/v1/health`)).status, 401);
  const ran = await line.run(['run', '--driver', 'process'], { directory: checkout.directory });
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /Joined the onejob/);
  const image = await line.run(['run', '--image', 'other'], { directory: checkout.directory });
  assert.equal(image.code, 2);
  assert.match(image.stderr, /--image has no effect/);
  const network = await line.run(['run', '--network', 'nat'], { directory: checkout.directory });
  assert.equal(network.code, 2);
  assert.match(network.stderr, /--network has no effect.*chose its network mode at its start/);
  const second = await line.run(['up']);
  assert.equal(second.code, 4);
  assert.match(second.stderr, /Another onejob runs already on /);
  const reap = await line.run(['reap']);
  assert.equal(reap.code, 0, reap.stderr);
  assert.match(
    reap.stdout,
    /^Nothing was left behind\.\nA onejob is running on .* and buries what it/,
  );
  up.child.kill('SIGTERM');
  const { code, stdout } = await up.ended;
  assert.equal(code, 0, stdout);
  assert.match(stdout, /Stopping/);
});

test('up says when its port is taken, or is no port', async () => {
  await using line = new CommandLine();
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as AddressInfo;
  const taken = await line.run(['up', '--listen', `127.0.0.1:${port}`]);
  other.close();
  assert.equal(taken.code, 4);
  assert.match(taken.stderr, new RegExp(`127\\.0\\.0\\.1:${port} is taken.*Choose another port`));
  for (const wrong of ['nonsense', '127.0.0.1:99999', 'a:b:c']) {
    const { code, stderr } = await line.run(['up', '--listen', wrong]);
    assert.equal(code, 2, wrong);
    assert.match(stderr, /write host:port/);
  }
  const pool = await line.run(['up', '--pool', '-1']);
  assert.equal(pool.code, 2);
  assert.match(pool.stderr, /--pool -1: a whole number from 0 to 1000/);
});

test('up refuses machines that wait where each has a network of its own, before anything runs', async () => {
  await using line = new CommandLine();
  const { code, stderr } = await line.run(['up', '--network', 'nat', '--pool', '4']);
  assert.equal(code, 2, stderr);
  assert.match(stderr, /--pool 4 has no effect with --network nat: .* Leave out --pool, or use --/);
  assert.ok(!line.hasData());
});

test('up takes the pool’s minimum and idle time from a file, and names what is wrong in it', async () => {
  await using line = await CommandLine.prepared();
  for (const [settings, why] of [
    [{ minimum: 3 }, /minimum is 3 of each kind, but maximum \(--pool\) 1 of all/],
    [{ idleMs: 0 }, /idleMs is 0; a whole number from 1 /],
  ] as const) {
    const path = line.write('pool.json', JSON.stringify(settings));
    const environment = { ONEJOB_POOL_SETTINGS: path };
    const { code, stderr } = await line.run(['up', '--pool', '1'], { environment });
    assert.equal(code, 4, stderr);
    assert.match(stderr, why);
  }
});

test('up takes what sandboxes get of the host from a file, and names what is wrong in it', async () => {
  await using line = await CommandLine.prepared();
  for (const [settings, why] of [
    [{ sandboxUsers: { first: 5, count: 9 } }, /cannot be 9 from 5 on: they must lie between /],
    [{ networkAddressRange: '8.8.8.0/24' }, /is "8\.8\.8\.0\/24"; write a private range /],
    [{ snapshot: false }, /settings of the host in .*host\.json are refused: \/snapshot /],
  ] as const) {
    const path = line.write('host.json', JSON.stringify(settings));
    const environment = { ONEJOB_HOST_SETTINGS: path };
    const { code, stderr } = await line.run(['up', '--network', 'nat'], { environment });
    assert.equal(code, 4, stderr);
    assert.match(stderr, why);
  }
});

test('up refuses an image it does not have before anything runs', async () => {
  await using line = new CommandLine();
  const { code, stderr } = await line.run(['up', '--image', 'nope'], emptyCache(line));
  assert.equal(code, 3);
  assert.match(stderr, /nope/);
});

test('doctor says what works here, what to install, and where things are', async () => {
  await using line = new CommandLine();
  const { stdout } = await line.run(['--data-dir', line.data, 'doctor']);
  assert.match(stdout, /[✓✗] driver qemu +\S/);
  assert.match(stdout, /[✓✗] driver firecracker +\S/);
  assert.match(stdout, /✓ driver process +no isolation.*never chosen by auto/);
  assert.match(stdout, /network nat +\S/);
  assert.match(stdout, /✓ git +git version/);
  assert.match(stdout, new RegExp(`data +${line.data}`));
  const { code, stdout: json } = await line.run(['doctor', '--json']);
  const report = JSON.parse(json) as {
    drivers: { driver: string; works: boolean; auto: boolean; note: string }[];
    network: { works: boolean; note: string };
    image: { ready: boolean; problem: string | null };
  };
  assert.equal(typeof report.network.works, 'boolean');
  assert.notEqual(report.network.note, '');
  assert.deepEqual(
    report.drivers.map(({ driver }) => driver),
    ['qemu', 'firecracker', 'gvisor', 'docker', 'process'],
  );
  const works =
    report.drivers.some(({ works: does, auto }) => does && auto) && report.image.problem === null;
  assert.equal(code, works ? 0 : 4);
});

test('doctor looks for the programs of Firecracker where an operator says they are', async () => {
  await using line = new CommandLine();
  const doctor = async (settings: object) =>
    await line.run(['--data-dir', line.data, 'doctor'], {
      environment: {
        ONEJOB_FIRECRACKER_SETTINGS: line.write('firecracker.json', JSON.stringify(settings)),
      },
    });
  const paths = { firecrackerPath: '/nowhere/firecracker', jailerPath: '/nowhere/jailer' };
  const { stdout } = await doctor(paths);
  assert.match(
    stdout,
    /✗ driver firecracker +Not installed: \/nowhere\/firecracker, \/nowhere\/jailer\./,
  );
  const refused = await doctor({ path: '/nowhere' });
  assert.match(
    refused.stderr,
    /settings of the firecracker driver in .*firecracker\.json are refused/,
  );
  assert.notEqual(refused.code, 0);
});

test('doctor names what to install where it is missing', async (t) => {
  await using line = new CommandLine();
  const noPath = await line.run(['doctor'], { environment: { PATH: '/nowhere' } });
  assert.match(noPath.stdout, /✗ git +missing: apt-get install git/);
  if (process.getuid?.() !== 0) return t.skip('hiding QEMU from a process needs root');
  const without = (...programs: string[]) => {
    const hide = `for f in ${programs.join(' ')}; do [ ! -e "$f" ] || mount --bind /dev/null "$f"; done`;
    const words = ['--mount', 'sh', '-c', `${hide}; exec "$@"`, 'sh', process.execPath, MAIN];
    const settings = line.write('docker.json', '{"socketPath":"/nowhere/engine.sock"}');
    return spawnSync('unshare', [...words, '--data-dir', line.data, 'doctor'], {
      encoding: 'utf8',
      env: { ...process.env, ONEJOB_DOCKER_SETTINGS: settings },
    });
  };
  const found = without('/usr/bin/qemu-system-*', '/usr/bin/runsc', '/usr/local/*bin/runsc');
  assert.match(found.stdout, /✗ driver qemu +Not installed.*apt-get install \S*qemu/);
  assert.match(found.stdout, /No driver with a kernel of its own works here, nor another one/);
  assert.equal(found.status, 4);
  const weaker = without('/usr/bin/qemu-system-*');
  if (!/✓ driver gvisor/.test(weaker.stdout)) return t.skip('gVisor does not work here');
  assert.match(weaker.stdout, /Jobs run by gvisor here, in no virtual machine: docs\/drivers\.md/);
  assert.equal(weaker.status, 0);
});

test('doctor promises no image that could not be built here', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('hiding programs from a process needs root');
  await using line = new CommandLine();
  const { ONEJOB_CACHE_DIR } = emptyCache(line).environment;
  const doctor = (before: string, ...as: string[]): string => {
    const words = ['--mount', 'sh', '-c', `${before}; exec "$@"`, 'sh', ...as];
    words.push(process.execPath, MAIN, '--data-dir', line.data, 'doctor');
    const env = { ...process.env, ONEJOB_CACHE_DIR };
    const found = spawnSync('unshare', words, { encoding: 'utf8', env });
    assert.equal(found.status, 4, found.stdout + found.stderr);
    return found.stdout;
  };
  const hidden = doctor(
    'for f in mmdebstrap lz4 flock; do mount --bind /dev/null /usr/bin/$f; done',
  );
  assert.match(hidden, /✗ image +not there.*needs flock, lz4, mmdebstrap; install with: apt-get/);
  assert.match(hidden, /there is no image, and none can be built/);
  mkdirSync(ONEJOB_CACHE_DIR, { recursive: true });
  const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  // The checkout may lie where only its owner gets to; its tools and its cache do not.
  if (spawnSync(nobody[0]!, [...nobody.slice(1), 'test', '-r', MAIN]).status !== 0) return;
  const plain = doctor(`chown -R 65534 '${dirname(line.data)}'`, ...nobody);
  assert.match(plain, /✗ image +not there.*without root.*subordinate ids|install with:.*uidmap/);
});

test('doctor says what holds QEMU where nobody is root, and what of it is missing', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('becoming another user needs root');
  await using line = new CommandLine();
  const base = dirname(line.data);
  const checkoutSeen = join(base, 'checkout');
  mkdirSync(checkoutSeen);
  // The checkout and its Node may lie where only their owner gets to.
  const seen = (path: string): string =>
    path.startsWith(`${REPOSITORY}/`) ? checkoutSeen + path.slice(REPOSITORY.length) : path;
  const show =
    'chown -R 65534 "$0"; mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"; shift 2';
  const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const as = (...words: string[]) =>
    spawnSync(
      'unshare',
      [
        ...['--mount', 'sh', '-ec', `${show}; exec "$@"`, base, REPOSITORY, checkoutSeen],
        ...[...nobody, ...words],
      ],
      {
        encoding: 'utf8',
        env: { ...process.env, ...emptyCache(line).environment, HOME: base, TMPDIR: base },
      },
    );
  const own = ['--data-dir', line.data, 'doctor', '--json'];
  const found = as(seen(process.execPath), seen(MAIN), ...own);
  const { drivers } = JSON.parse(found.stdout || found.stderr) as {
    drivers: { driver: string; works: boolean; note: string }[];
  };
  const qemu = drivers.find(({ driver }) => driver === 'qemu');
  if (qemu?.works !== true) return t.skip(`QEMU does not work here: ${qemu?.note}`);
  const mayMakeNamespaces = as('unshare', '--user', 'true').status === 0;
  const [held, missing] = mayMakeNamespaces
    ? ['its own namespaces, root directory', 'no user \\(the agent is not root\\)']
    : ['a system call filter only', 'no namespaces \\(.+\\)'];
  const note = `; confined to ${held}; less than could be: ${missing}, no control group \\(.+\\)$`;
  assert.match(qemu.note, new RegExp(note));
});

test('reap finds nothing where nothing was left', async () => {
  await using line = new CommandLine();
  const { code, stdout } = await line.run(['reap']);
  assert.deepEqual([code, stdout], [0, 'Nothing was left behind.\n']);
});

test('reap tells what is left, how old and why, and with --dry-run leaves it', async () => {
  await using line = await CommandLine.prepared();
  const id = 'sb0123456789abcdef';
  const left = `${line.data}/agent/sandboxes/${id}`;
  mkdirSync(left, { recursive: true, mode: 0o700 });
  const dry = await line.run(['reap', '--dry-run']);
  assert.equal(dry.code, 0, dry.stderr);
  const told = `directory ${left} +\\d+\\.\\ds old +no live sandbox has that id`;
  assert.match(dry.stdout, new RegExp(`^to be removed +${told}\n$`));
  const json = await line.run(['reap', '--dry-run', '--json']);
  const { entries, isOwned } = JSON.parse(json.stdout) as {
    entries: { sandboxId: string }[];
    isOwned: boolean;
  };
  assert.deepEqual([entries.map(({ sandboxId }) => sandboxId), isOwned], [[id], false]);
  assert.ok(existsSync(left));
  const reaped = await line.run(['reap']);
  assert.match(reaped.stdout, new RegExp(`^removed +${told}\n$`));
  assert.ok(!existsSync(left));
});

test('images are listed, and one that is not there is refused by name', async () => {
  await using line = new CommandLine();
  const place = emptyCache(line);
  const list = await line.run(['image', 'list'], place);
  assert.match(list.stdout, /No images yet\. Build one with: onejob image build/);
  assert.equal((await line.run(['image', 'list', '--json'], place)).stdout, '[]\n');
  const removed = await line.run(['image', 'remove', 'nope'], place);
  assert.equal(removed.code, 3);
  assert.match(removed.stderr, /nope/);
  const imported = await line.run(
    ['image', 'import', line.write('x.tar', 'no'), '--name', 'x'],
    place,
  );
  assert.notEqual(imported.code, 0);
  assert.match(imported.stderr, /^onejob: .*x\.tar/);
  assert.ok(imported.stderr.split('\n').length < 25);
  const missing = await line.run(['image', 'import', '/nowhere', '--name', 'x'], place);
  assert.match(missing.stderr, /\/nowhere/);
});
