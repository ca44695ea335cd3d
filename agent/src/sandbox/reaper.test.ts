/** The reaper on a real host directory with real processes: what it removes, and what it must not. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { newSandboxId, type JobId, type SandboxId } from '@onejob/protocol';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import {
  chooseUser,
  claimUser,
  listUserClaims,
  releaseUser,
  SANDBOX_USERS,
} from '../host/sandbox-user.ts';
import { superviseProcess, type SupervisedProcess } from '../host/supervised-process.ts';
import { directoryFinder } from './finders/directories.ts';
import type { Finder } from './finders/finder.ts';
import { Journal, monotonicMs, type JournalLine } from './journal.ts';
import { reap, type ReapOptions, type ReapReport } from './reaper.ts';
import type { Undo } from './stack.ts';
import { undoOn } from './undo.ts';

let root = '';
let hostMarker = '';
let sandboxesDirectory = '';
let journalsDirectory = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'onejob-reaper-'));
  hostMarker = `test-${randomBytes(8).toString('hex')}`;
  sandboxesDirectory = join(root, 'sandboxes');
  journalsDirectory = join(root, 'journals');
  mkdirSync(sandboxesDirectory);
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});
checkLeaksAfterEach();

const reapAll = async (
  alive: readonly string[] = [],
  undo: Undo = undoOn(hostMarker),
  options: Partial<ReapOptions> = {},
): Promise<ReapReport> =>
  await reap({
    hostMarker,
    sandboxesDirectory,
    journalsDirectory,
    undo,
    alive: new Set(alive),
    ...options,
  });

const sleeper = (sandboxId: SandboxId, marker = hostMarker): SupervisedProcess =>
  superviseProcess({
    command: 'sleep',
    args: ['60'],
    hostMarker: marker,
    sandboxId,
    environment: {},
    directory: root,
  });

const isAlive = async ({ exited }: SupervisedProcess): Promise<boolean> =>
  await Promise.race([
    exited.then(() => false),
    new Promise<true>((resolve) => setImmediate(() => resolve(true))),
  ]);

async function end(one: SupervisedProcess | ChildProcess): Promise<void> {
  const exited = 'exited' in one ? one.exited : new Promise((resolve) => one.once('exit', resolve));
  one.kill('SIGKILL' as never);
  await exited;
}

test('processes and directories of dead sandboxes are removed, those of live ones are not', async () => {
  const dead = newSandboxId();
  const live = newSandboxId();
  for (const id of [dead, live])
    mkdirSync(join(sandboxesDirectory, id, 'deep'), { recursive: true });
  const [first, second, third] = [sleeper(dead), sleeper(dead), sleeper(live)];
  const report = await reapAll([live]);
  await Promise.all([first.exited, second.exited]);
  assert.equal(await isAlive(third), true);
  assert.deepEqual(readdirSync(sandboxesDirectory), [live]);
  assert.equal(report.removed.length, 2);
  assert.ok(report.removed.every((what) => what.includes(dead)));
  assert.deepEqual(report.failed, []);
  await end(third);
});

test(
  'users of dead sandboxes are freed, with what runs as them; those of live ones are not',
  { skip: process.getuid?.() === 0 ? false : 'taking a user needs root' },
  async () => {
    const [dead, live] = [newSandboxId(), newSandboxId()];
    const uids: number[] = [];
    const claim = async (sandboxId: string, marker = hostMarker): Promise<number> => {
      const uid = chooseUser(SANDBOX_USERS);
      assert.ok(await claimUser(uid, { hostMarker: marker, sandboxId }));
      uids.push(uid);
      return uid;
    };
    const ofTheDead = await claim(dead);
    const unmarked = spawn('setpriv', [`--reuid=${ofTheDead}`, '--', 'sleep', '60'], { env: {} });
    const exited = new Promise((resolve) => unmarked.once('exit', resolve));
    await once(unmarked, 'spawn');
    await claim(live);
    await claim(dead, `${hostMarker}-other`);
    await claim('not-an-id');
    const report = await reapAll([live]);
    assert.deepEqual(report.failed, []);
    assert.deepEqual(report.removed.length, 1);
    assert.match(report.removed[0] ?? '', new RegExp(`^user ${ofTheDead} of sandbox ${dead}`));
    await exited;
    const left = await listUserClaims(hostMarker);
    assert.deepEqual(
      left.map(({ sandboxId }) => sandboxId).toSorted(),
      ['not-an-id', live].toSorted(),
    );
    assert.equal((await listUserClaims(`${hostMarker}-other`)).length, 1);
    for (const uid of uids) {
      for (const sandboxId of [dead, live, 'not-an-id']) {
        for (const marker of [hostMarker, `${hostMarker}-other`]) {
          await releaseUser(uid, { hostMarker: marker, sandboxId });
        }
      }
    }
  },
);

test('look-alikes are left alone: other names, other agents, ids in arguments, kept sandboxes', async () => {
  const id = newSandboxId();
  const names = ['sb123', `${id}.old`, `x${id}`, 'kept', id.toUpperCase()];
  for (const name of names) mkdirSync(join(sandboxesDirectory, name));
  mkdirSync(join(root, 'kept', id), { recursive: true });
  const ofAnotherAgent = sleeper(id, `${hostMarker}-other`);
  const namesItOnly = spawn('sleep', ['60'], {
    argv0: `sleep-for-${id}-ONEJOB_HOST=${hostMarker}`,
    env: { ONEJOB_SANDBOX: id },
  });
  const noSandboxId = superviseProcess({
    command: 'sleep',
    args: ['60'],
    hostMarker,
    sandboxId: 'not-an-id' as SandboxId,
    environment: {},
    directory: root,
  });
  const report = await reapAll();
  assert.deepEqual(report.removed, []);
  assert.deepEqual(report.failed, []);
  assert.deepEqual(readdirSync(sandboxesDirectory).toSorted(), names.toSorted());
  assert.ok(existsSync(join(root, 'kept', id)));
  assert.equal(await isAlive(ofAnotherAgent), true);
  assert.equal(await isAlive(noSandboxId), true);
  assert.equal(namesItOnly.exitCode, null);
  for (const one of [ofAnotherAgent, namesItOnly, noSandboxId]) await end(one);
});

test('leases of journals are told with whether they may have been adopted', async () => {
  const write = (jobId: string, epoch: string, ...more: JournalLine[]): void => {
    const journal = new Journal(journalsDirectory, newSandboxId());
    journal.write({ entry: 'lease', jobId: jobId as JobId, attempt: 1, epoch });
    for (const line of more) journal.write(line);
  };
  write('leased', '1');
  write('asked', '9007199254740993', { entry: 'adopting' });
  write('adopted', '3', { entry: 'adopting' }, { entry: 'adopted', jobTimeoutMs: 1000 });
  new Journal(journalsDirectory, newSandboxId()).write({ entry: 'adopting' }); // died before its lease
  const report = await reapAll();
  assert.deepEqual(
    report.leases.toSorted((a, b) => a.jobId.localeCompare(b.jobId)),
    [
      { jobId: 'adopted', attempt: 1, epoch: 3n, adopted: true },
      { jobId: 'asked', attempt: 1, epoch: 9007199254740993n, adopted: true },
      { jobId: 'leased', attempt: 1, epoch: 1n, adopted: false },
    ],
  );
  assert.equal(readdirSync(journalsDirectory).length, 4);
  assert.equal((await reapAll()).leases.length, 3, 'a second start tells them again');
  report.closeJournals();
  assert.deepEqual(readdirSync(journalsDirectory), []);
});

test('what a journal names is undone, last first, existing or not, as often as one likes', async () => {
  const sandboxId = newSandboxId();
  const place = join(sandboxesDirectory, sandboxId);
  mkdirSync(place);
  writeFileSync(join(place, 'disk'), 'x');
  const journal = new Journal(journalsDirectory, sandboxId);
  const order: string[] = [];
  for (const name of ['', 'disk', 'never-made.sock']) {
    journal.write({ entry: 'acquire', acquisition: { kind: 'disk', path: join(place, name) } });
  }
  const undo: Undo = async (acquisition) => {
    if (acquisition.kind === 'disk') order.push(acquisition.path.slice(place.length));
    await undoOn(hostMarker)(acquisition);
    await undoOn(hostMarker)(acquisition);
  };
  assert.deepEqual((await reapAll([], undo)).failed, []);
  assert.deepEqual(order, ['/never-made.sock', '/disk', '']);
  assert.deepEqual(readdirSync(sandboxesDirectory), []);
  assert.deepEqual((await reapAll([], undo)).removed, []);
});

test('a journal that names something outside its sandbox removes nothing there', async () => {
  const precious = join(root, 'precious');
  const neighbour = join(sandboxesDirectory, newSandboxId());
  for (const path of [precious, neighbour]) mkdirSync(path);
  const journal = new Journal(journalsDirectory, newSandboxId());
  const own = join(sandboxesDirectory, journal.sandboxId);
  const paths = [precious, neighbour, join(own, '../../precious'), '/', `${own}x`, root];
  for (const path of paths) {
    journal.write({ entry: 'acquire', acquisition: { kind: 'directory', path } });
  }
  const report = await reapAll([neighbour.slice(sandboxesDirectory.length + 1)]);
  assert.equal(report.failed.length, paths.length);
  assert.ok(existsSync(precious) && existsSync(neighbour));
});

test('a sandbox that could not be buried whole keeps its journal for the next start', async () => {
  const [stuck, fine] = [newSandboxId(), newSandboxId()];
  for (const id of [stuck, fine]) {
    mkdirSync(join(sandboxesDirectory, id));
    const path = join(sandboxesDirectory, id);
    const journal = new Journal(journalsDirectory, id);
    journal.write({ entry: 'acquire', acquisition: { kind: 'directory', path } });
  }
  const report = await reapAll([], async (acquisition) => {
    if (acquisition.kind === 'directory' && acquisition.path.includes(stuck)) {
      throw new Error('device or resource busy');
    }
    await undoOn(hostMarker)(acquisition);
  });
  assert.match(report.failed.join('\n'), /busy/);
  report.closeJournals();
  assert.deepEqual(readdirSync(journalsDirectory), [`${stuck}.jsonl`]);
  assert.deepEqual(readdirSync(sandboxesDirectory), [stuck]);
  (await reapAll()).closeJournals();
  assert.deepEqual(readdirSync(journalsDirectory), []);
  assert.deepEqual(readdirSync(sandboxesDirectory), []);
});

test('a dry run tells what would go, how old it is and why, and removes nothing', async () => {
  const dead = newSandboxId();
  mkdirSync(join(sandboxesDirectory, dead));
  const process = sleeper(dead);
  const journal = new Journal(journalsDirectory, dead);
  journal.write({ entry: 'adopting' });
  const report = await reapAll([], undefined, { isDryRun: true });
  assert.deepEqual(
    report.entries.map(({ kind, sandboxId, outcome, why }) => [kind, sandboxId, outcome, why]),
    ['process', 'directory'].map((kind) => [
      kind,
      dead,
      'to be removed',
      'no live sandbox has that id',
    ]),
  );
  assert.ok(report.entries.every(({ ageMs }) => ageMs !== null && ageMs >= 0 && ageMs < 60_000));
  assert.deepEqual([report.removed, report.failed, report.leases], [[], [], []]);
  assert.deepEqual(readdirSync(sandboxesDirectory), [dead]);
  assert.equal(await isAlive(process), true);
  await end(process);
});

test('beside the process that owns the state directory nothing young of it is touched', async () => {
  const sandboxId = newSandboxId();
  mkdirSync(join(sandboxesDirectory, sandboxId));
  const process = sleeper(sandboxId);
  new Journal(journalsDirectory, sandboxId).write({ entry: 'adopting' });
  const report = await reapAll([], undefined, { isOwnedByAnother: true });
  assert.deepEqual([report.entries, report.failed], [[], []]);
  report.closeJournals();
  assert.deepEqual(readdirSync(journalsDirectory), [`${sandboxId}.jsonl`]);
  assert.equal(await isAlive(process), true);
  await end(process);
});

test('a clock that was set ages no live sandbox; one that really outlived every job goes', async () => {
  const [live, dead] = [newSandboxId(), newSandboxId()];
  for (const id of [live, dead]) {
    mkdirSync(join(sandboxesDirectory, id));
    new Journal(journalsDirectory, id).write({ entry: 'adopting' });
  }
  const process = sleeper(live);
  const later = 7 * 60 * 60 * 1000;
  const set = { nowMs: Date.now() + later };
  assert.deepEqual((await reapAll([], undefined, { ...set, isOwnedByAnother: true })).entries, []);
  const report = await reapAll([live], undefined, set);
  assert.deepEqual(
    report.entries.map(({ sandboxId, why }) => [sandboxId, why]),
    [[dead, 'no live sandbox has that id']],
  );
  report.closeJournals();
  assert.deepEqual(readdirSync(sandboxesDirectory), [live]);
  assert.deepEqual(readdirSync(journalsDirectory), [`${live}.jsonl`]);
  assert.equal(await isAlive(process), true);

  const { entries } = await reapAll([live], undefined, { monotonicNowMs: monotonicMs() + later });
  assert.deepEqual(
    entries.map(({ kind, outcome }) => `${kind} ${outcome}`),
    ['process removed', 'directory removed'],
  );
  assert.ok(entries.every(({ why }) => /older than 370 minutes/.test(why)));
  await process.exited;
});

test('a live sandbox goes ten minutes after the time that its own job may take', async () => {
  const MINUTE_MS = 60_000;
  const [quick, long] = [newSandboxId(), newSandboxId()];
  for (const [id, minutes] of [[quick, 60] as const, [long, 360] as const]) {
    mkdirSync(join(sandboxesDirectory, id));
    const journal = new Journal(journalsDirectory, id);
    journal.write({ entry: 'adopting' });
    journal.write({ entry: 'adopted', jobTimeoutMs: minutes * MINUTE_MS });
  }
  const gone = async (minutes: number): Promise<string[]> => {
    const monotonicNowMs = monotonicMs() + minutes * MINUTE_MS;
    const report = await reapAll([quick, long], undefined, { monotonicNowMs, isDryRun: true });
    return report.entries.map(({ sandboxId, why }) => `${sandboxId} ${why}`);
  };
  assert.deepEqual(await gone(69), []);
  const why = 'its job has run for longer than the 60 minutes it may, and 10 for its end';
  assert.deepEqual(await gone(71), [`${quick} ${why}`]);
  assert.deepEqual(await gone(369), [`${quick} ${why}`]);
  assert.deepEqual(
    new Set((await gone(371)).map((line) => line.split(' ')[0])),
    new Set([quick, long]),
  );
});

test('a machine that waited for its job gives that its whole time', async () => {
  const id = newSandboxId();
  mkdirSync(join(sandboxesDirectory, id));
  mkdirSync(journalsDirectory);
  const hourMs = 60 * 60_000;
  const begun = monotonicMs();
  const write = (line: object, atMs: number): void =>
    appendFileSync(
      join(journalsDirectory, `${id}.jsonl`),
      `${JSON.stringify({ ...line, atMs })}\n`,
    );
  write({ entry: 'acquire', acquisition: { kind: 'directory', path: sandboxesDirectory } }, begun);
  write({ entry: 'adopted', jobTimeoutMs: 6 * hourMs }, begun + hourMs);
  const at = async (hours: number): Promise<number> => {
    const monotonicNowMs = begun + hours * hourMs;
    return (await reapAll([id], undefined, { monotonicNowMs, isDryRun: true })).entries.length;
  };
  assert.equal(await at(7), 0);
  assert.equal(await at(7.5), 1);
});

test('a sandbox that begins while the reaper looks is none of its business', async () => {
  const young = newSandboxId();
  const alive = new Set<string>();
  const late: Finder = {
    kind: 'late',
    find: async () => {
      alive.add(young);
      mkdirSync(join(sandboxesDirectory, young));
      return await directoryFinder.find({ hostMarker, sandboxesDirectory });
    },
  };
  const report = await reapAll([], undefined, { alive, finders: [late] });
  assert.deepEqual(report.entries, []);
  assert.deepEqual(readdirSync(sandboxesDirectory), [young]);
});

test('another kind is found by a finder of its own; one that fails hides no other', async () => {
  const dead = newSandboxId();
  mkdirSync(join(sandboxesDirectory, dead));
  const containers = new Set([dead]);
  const container: Finder = {
    kind: 'container',
    find: async () =>
      await Promise.resolve(
        [...containers].map((sandboxId) => ({
          kind: 'container',
          name: `container ${sandboxId}`,
          sandboxId,
          isMarked: true,
          bornAtMs: 0,
          remove: async () => await Promise.resolve(void containers.delete(sandboxId)),
        })),
      ),
  };
  const broken: Finder = { kind: 'broken', find: () => Promise.reject(new Error('no socket')) };
  const report = await reapAll([], undefined, { finders: [broken, container] });
  assert.equal(containers.size, 0);
  assert.deepEqual(
    report.entries.map(({ kind, outcome }) => `${kind} ${outcome}`),
    ['container removed', 'directory removed'],
  );
  assert.match(report.failed.join(), /looking for broken: .*no socket/);
});
