/** Who makes snapshots, with a driver whose machines are a file: what it promises whatever happens. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { AgentError } from '../errors.ts';
import type { MachineKind, MachineToSave, SandboxDriver } from './driver.ts';
import { SnapshotMaker } from './snapshot-maker.ts';
import type { ProvisionStack } from './stack.ts';
import { undoOn } from './undo.ts';

const KIND: MachineKind = { shape: { cpus: 1, memoryBytes: 1, diskBytes: 1 }, image: null };
let root = '';
let alive: Set<string>;
let warnings: string[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'onejob-maker-'));
  for (const name of ['sandboxes', 'journals']) await mkdir(join(root, name));
  alive = new Set();
  warnings = [];
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

const newMaker = (): SnapshotMaker =>
  new SnapshotMaker({
    alive,
    sandboxesDirectory: join(root, 'sandboxes'),
    journalsDirectory: join(root, 'journals'),
    guestRunnerPath: '',
    undo: undoOn('no-such-marker'),
    warn: (message) => void warnings.push(message),
  });

/** A driver that lacks the snapshot until `make` has ended well. */
function newDriver(make: (request: MachineToSave, stack: ProvisionStack) => Promise<void>): {
  driver: SandboxDriver;
  asked: () => number;
} {
  let isThere = false;
  let asked = 0;
  const driver: SandboxDriver = {
    name: 'qemu',
    probe: async () => await Promise.reject(new Error('not asked')),
    provision: async () => await Promise.reject(new Error('not asked')),
    snapshots: {
      isMissing: async () => await Promise.resolve(!isThere),
      make: async (request, stack) => {
        asked += 1;
        await make(request, stack);
        isThere = true;
      },
      close: () => {},
    },
  };
  return { driver, asked: () => asked };
}

const left = (): string[] =>
  ['sandboxes', 'journals'].flatMap((name) => readdirSync(join(root, name)));

test('a snapshot is made once, by a sandbox that is alive and journalled meanwhile and buried then', async () => {
  await using maker = newMaker();
  const { driver, asked } = newDriver(async ({ directory, sandboxId }, stack) => {
    assert.deepEqual([...alive], [sandboxId]);
    assert.deepEqual(left(), [sandboxId, `${sandboxId}.jsonl`]);
    const path = join(directory, 'work.disk');
    await stack.acquire({ kind: 'disk', path }, async () => await writeFile(path, 'disk'));
  });
  maker.want(driver, KIND);
  maker.want(driver, KIND);
  await maker.idle();
  maker.want(driver, KIND);
  await maker.idle();
  assert.equal(asked(), 1);
  assert.deepEqual([left(), [...alive], warnings], [[], [], []]);
});

test('who makes room for a job tries again behind the next one, and warns of nothing', async () => {
  await using maker = newMaker();
  let tries = 0;
  const { driver, asked } = newDriver(async () => {
    if (++tries < 5) throw new AgentError('stopped', 'Somebody waits for the turn.');
    await Promise.resolve();
  });
  for (let job = 0; job < 7; job++) {
    maker.want(driver, KIND);
    await maker.idle();
  }
  assert.equal(asked(), 5);
  assert.deepEqual([left(), warnings], [[], []]);
});

test('what fails twice is told once and not tried again; what fails leaves nothing', async () => {
  await using maker = newMaker();
  const { driver, asked } = newDriver(async () => await Promise.reject(new Error('no memory')));
  for (let job = 0; job < 4; job++) {
    maker.want(driver, KIND);
    await maker.idle();
  }
  assert.equal(asked(), 2);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /booted, not restored.*no memory/);
  assert.deepEqual([left(), [...alive]], [[], []]);
});

test('an agent that stops ends it, and nothing begins after that', async () => {
  const maker = newMaker();
  const { driver, asked } = newDriver(
    async ({ signal }) =>
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  );
  maker.want(driver, KIND);
  while (asked() === 0) await new Promise((resolve) => setImmediate(resolve));
  await maker[Symbol.asyncDispose]();
  maker.want(driver, KIND);
  await maker.idle();
  assert.equal(asked(), 1);
  assert.deepEqual([left(), [...alive], warnings], [[], [], []]);
});
