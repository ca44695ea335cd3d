/**
 * Agents that are killed while they try their host, beside others that share their cache directory: what
 * the killed one leaves is found and goes, what is being tried stays as it is.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempDisposableSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newSandboxId } from '@onejob/protocol';
import { completeConfig } from '../src/config/config.ts';
import { listSandboxProcesses, SANDBOX_VARIABLE } from '../src/host/processes.ts';
import { listUserClaims } from '../src/host/sandbox-user.ts';
import { reapOnce, type AgentConfig } from '../src/index.ts';
import { reap } from '../src/sandbox/reaper.ts';
import { openTrialPlace } from '../src/sandbox/trial-place.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import { FirecrackerLab, whyNoJail } from './_firecracker-lab.ts';
import { HostLab } from './_host-lab.ts';
import { checkLeaksAfterEach } from './_leaks.ts';

const PROGRAM = join(import.meta.dirname, '_trying-agent.ts');
const PATIENCE_MS = 30_000;
const POLL_MS = 2;
/** A tiny guest is there for a tenth of a second; a busy test may look away that long. */
const MOST_TRIES = 5;

const isRoot = process.getuid?.() === 0;
const hasTools = ['qemu-system-x86_64', 'ldd'].every((name) => existsSync(`/usr/bin/${name}`));
const skip = isRoot && hasTools ? false : 'it takes root and QEMU';
checkLeaksAfterEach();

const configOf = (stateDirectory: string, cacheDirectory: string): AgentConfig => ({
  ...{ stateDirectory, cacheDirectory, controlPlaneSocketPath: '', guestRunnerPath: '' },
  drivers: ['qemu'],
  image: async () => await Promise.reject(new Error('no image is needed')),
});

type Trying = { agent: ChildProcess; said: Promise<string>; monitor: number; sandboxId: string };

const trialsIn = (cacheDirectory: string): string[] =>
  existsSync(cacheDirectory)
    ? readdirSync(cacheDirectory).filter((name) => name.startsWith('trial-'))
    : [];

/** An agent whose tiny guest stands still; undefined: it had run before it was seen. */
async function startTrying(config: AgentConfig): Promise<Trying | undefined> {
  const { stateDirectory, cacheDirectory } = config;
  const { hostMarker } = completeConfig(config);
  const before = new Set(trialsIn(cacheDirectory));
  const told = JSON.stringify({ what: 'qemu', stateDirectory, cacheDirectory });
  const agent = spawn(process.execPath, [PROGRAM, told], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = text(agent.stdout);
  while (agent.exitCode === null) {
    for (const { pid, environment } of await listSandboxProcesses(hostMarker)) {
      const sandboxId = environment.get(SANDBOX_VARIABLE) ?? '';
      const isKnown = [...before].some((name) => name.includes(sandboxId));
      if (isKnown || !isMonitor(pid)) continue;
      process.kill(pid, 'SIGSTOP');
      return { agent, said, monitor: pid, sandboxId };
    }
    await sleep(POLL_MS);
  }
  await said;
  return undefined;
}

function isMonitor(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('qemu-system');
  } catch {
    return false; // gone meanwhile
  }
}

/** Two that try their host at a time, with one cache directory and one state directory. */
async function startTwo(root: string): Promise<[Trying, Trying, AgentConfig]> {
  mkdirSync(join(root, 'state'));
  for (let count = 0; count < MOST_TRIES; count += 1) {
    const config = configOf(join(root, 'state'), join(root, `cache-${count}`));
    const one = await startTrying(config);
    if (one === undefined) continue;
    const other = await startTrying(config);
    if (other !== undefined) return [one, other, config];
    await end(one);
  }
  return assert.fail('no tiny guest was seen');
}

async function kill({ agent }: Pick<Trying, 'agent'>): Promise<void> {
  agent.kill('SIGKILL');
  await once(agent, 'exit');
}

async function end({ agent, said, monitor }: Trying): Promise<{ works: boolean; note: string }> {
  process.kill(monitor, 'SIGCONT');
  if (agent.exitCode === null) await once(agent, 'exit');
  return JSON.parse(await said) as { works: boolean; note: string };
}

test(
  'an agent that is killed while it tries a jail leaves nothing to the next look, and a trial that goes on is left alone',
  { skip },
  async () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-trial-'));
    const [killed, living, config] = await startTwo(directory.path);
    const { cacheDirectory } = config;
    const { hostMarker } = completeConfig(config);
    const claims = async (): Promise<string[]> =>
      (await listUserClaims(hostMarker)).map(({ sandboxId }) => sandboxId);
    const trials = (): string[] => trialsIn(cacheDirectory).map((name) => name.split('-')[1] ?? '');
    const both = [killed.sandboxId, living.sandboxId].toSorted();
    const now = { isOwnedByAnother: false, isDryRun: false };
    try {
      assert.deepEqual((await reapOnce(config, now)).entries, [], 'both go on');
      await kill(killed);
      const deadline = performance.now() + PATIENCE_MS;
      while (existsSync(`/proc/${killed.monitor}`)) {
        assert.ok(performance.now() < deadline, 'the guest dies with its agent');
        await sleep(POLL_MS);
      }
      assert.deepEqual([trials().toSorted(), (await claims()).toSorted()], [both, both]);

      const stranger = configOf(directory.path, cacheDirectory);
      const byOther = await reapOnce(stranger, now);
      assert.deepEqual(byOther.failed, []);
      assert.deepEqual([trials(), (await claims()).toSorted()], [[living.sandboxId], both]);
      const { entries, failed } = await reapOnce(config, now);
      assert.deepEqual(failed, []);
      assert.deepEqual(
        [...byOther.entries, ...entries].map(({ kind, sandboxId }) => [kind, sandboxId]),
        [
          ['directory', killed.sandboxId],
          ['user', killed.sandboxId],
        ],
      );
      assert.deepEqual([trials(), await claims()], [[living.sandboxId], [living.sandboxId]]);
    } finally {
      const { works, note } = await end(living);
      assert.ok(works, note);
      assert.match(note, /confined to its own user, namespaces/);
    }
    assert.deepEqual([trials(), await claims()], [[], []]);
  },
);

test(
  'a network that was tried by an agent that was killed goes, whatever of it there was; one that is tried stays',
  { skip: isRoot && existsSync('/dev/net/tun') ? false : 'it takes root and /dev/net/tun' },
  async (t) => {
    using lab = new HostLab();
    if (!lab.hasNft) return t.skip('nft does not work here');
    mkdirSync(lab.cache);
    lab.run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
    const before = lab.inventory();
    const told = { what: 'network', stateDirectory: lab.root, cacheDirectory: lab.cache };
    const agent = lab.start(process.execPath, PROGRAM, JSON.stringify(told));
    const deadline = performance.now() + PATIENCE_MS;
    while (!lab.inventory().some((one) => one.startsWith('netns '))) {
      assert.ok(performance.now() < deadline, 'a network was there');
    }
    await kill({ agent });
    assert.equal(trialsIn(lab.cache).length, 1);
    assert.notDeepEqual(lab.inventory(), before);

    // Killed before the veth, which alone bears the mark of an agent; and one of this process.
    const half = newSandboxId();
    await using living = await openTrialPlace({
      cacheDirectory: lab.cache,
      hostMarker: lab.hostMarker,
    });
    const [, , pid, birth, namespace] = basename(living.directory).split('-');
    const notThatOne = Number(birth) - 1;
    mkdirSync(join(lab.cache, ['trial', half, pid, notThatOne, namespace].join('-')));
    for (const id of [half, living.sandboxId]) {
      lab.run('ip', 'netns', 'add', `onejob-${id}`);
      lab.run('nft', 'add', 'table', 'inet', `onejob_${id}`);
    }

    assert.deepEqual(lab.reap([]).failed, []);
    const own = [`netns onejob-${living.sandboxId}`, `table inet onejob_${living.sandboxId}`];
    // A veth goes with its namespace, a moment later.
    const links = (): string[] => lab.inventory().filter((one) => one.startsWith('link oj'));
    for (const gone = performance.now() + PATIENCE_MS; links().length > 0;) {
      assert.ok(performance.now() < gone, 'no veth stays');
    }
    assert.deepEqual(lab.inventory(), [...before, ...own].toSorted());
    assert.deepEqual(trialsIn(lab.cache), [basename(living.directory)]);
  },
);

test(
  'an agent that is killed while it tries Firecracker leaves nothing to the next look',
  { skip: whyNoJail },
  async () => {
    const place = await FirecrackerLab.open();
    await using undo = new AsyncDisposableStack();
    undo.defer(() => place.close());
    const { image, guestRunnerPath, directory: cacheDirectory } = place;
    const hostMarker = `test-${randomBytes(8).toString('hex')}`;
    const firecracker = place.programs({ fault: { kind: 'tiny_guest', how: 'hangs' } });
    const told = { image, guestRunnerPath, cacheDirectory, firecracker };
    const sandboxesDirectory = join(cacheDirectory, 'sandboxes');
    mkdirSync(sandboxesDirectory);
    const program = join(import.meta.dirname, '_provisioning-agent.ts');
    const words = [program, hostMarker, sandboxesDirectory, JSON.stringify(told)];
    const agent = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] });
    const idOfTrial = (): string => trialsIn(cacheDirectory)[0]?.split('-')[1] ?? 'none';
    const guests = (): string[] =>
      listCommandLines().filter((one) => one.includes(idOfTrial()) && one.includes('firecracker'));
    await waitUntil('the tiny guest was there', () => guests().length > 1);
    const sandboxId = idOfTrial();
    await kill({ agent });
    await waitUntil('it died with its agent', () => guests().length === 0);
    const claims = async (): Promise<string[]> =>
      (await listUserClaims(hostMarker)).map((one) => one.sandboxId);
    assert.deepEqual(await claims(), [sandboxId]);

    const { entries, failed } = await reap({
      ...{ hostMarker, sandboxesDirectory, alive: new Set(), undo: undoOn(hostMarker) },
      journalsDirectory: join(sandboxesDirectory, 'journal'),
      cacheDirectory,
    });
    assert.deepEqual(failed, []);
    const ofTrial = entries.filter((one) => one.sandboxId === sandboxId);
    assert.deepEqual(
      ofTrial.map(({ kind, outcome }) => [kind, outcome]),
      [
        ['user', 'removed'],
        ['directory', 'removed'],
      ],
    );
    assert.deepEqual([trialsIn(cacheDirectory), await claims()], [[], []]);
  },
);

async function waitUntil(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    assert.ok(performance.now() < deadline, what);
    await sleep(POLL_MS);
  }
}

const listCommandLines = (): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return ''; // gone meanwhile
      }
    });
