/** Machines that wait, with a driver whose machines are a file: how many there are, whatever happens. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as aTurn } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import { POOL_LOOK_MS, POOL_REFILL_MS, POOL_WAIT_MS } from '../limits.ts';
import type { MemoryRoom } from '../host/memory.ts';
import type { MachineEnd, MachineKind, ProvisionRequest, SandboxDriver } from './driver.ts';
import { MachinePool, type PoolLimits, type WaitingMachine } from './pool.ts';
import { undoOn } from './undo.ts';

const kindOf = (cpus: number): MachineKind => ({
  shape: { cpus, memoryBytes: 1, diskBytes: 1 },
  image: null,
});
const KIND = kindOf(1);
const IDLE_MS = 60_000;
let root = '';
let alive: Set<string>;
let warnings: string[];
let room: number;
let memory: MemoryRoom;
let nowMs: number;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'onejob-pool-'));
  for (const name of ['sandboxes', 'journals']) await mkdir(join(root, name));
  [alive, warnings, room, memory, nowMs] = [new Set(), [], 100, 'enough', 1_000_000];
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  mock.method(performance, 'now', () => nowMs);
});
afterEach(async () => {
  mock.timers.reset();
  mock.restoreAll();
  await rm(root, { recursive: true });
});

const newPool = (limits: Partial<PoolLimits> = {}): MachinePool =>
  new MachinePool({
    ...{ alive, sandboxesDirectory: join(root, 'sandboxes') },
    ...{ journalsDirectory: join(root, 'journals'), undo: undoOn('no-such-marker') },
    limits: { minimum: 0, maximum: 4, idleMs: IDLE_MS, ...limits },
    guestRunnerPath: '',
    room: () => room,
    memory: async () => await Promise.resolve(memory),
    warn: (message) => void warnings.push(message),
  });

/** Its machines, by the order they were made in; `end` is the monitor's death. */
type Made = { request: ProvisionRequest; end: () => void; isKilled: boolean };

type OnProvision = (request: ProvisionRequest) => void | Promise<void>;

function newDriver(onProvision: OnProvision = () => {}): { driver: SandboxDriver; made: Made[] } {
  const made: Made[] = [];
  const driver: SandboxDriver = {
    name: 'qemu',
    canWait: true,
    probe: async () => await Promise.reject(new Error('not asked')),
    provision: async (request, stack) => {
      const path = join(request.directory, 'machine');
      await stack.acquire({ kind: 'disk', path }, async () => await writeFile(path, ''));
      await onProvision(request);
      const { promise: ended, resolve } = Promise.withResolvers<MachineEnd>();
      const machine: Made = {
        request,
        end: () => resolve({ cause: 'vmm_died', detail: 'in a test' }),
        isKilled: false,
      };
      made.push(machine);
      return {
        ...{ driver: 'qemu', note: '', phasesMs: {}, ended, oomKills: () => 0 },
        steered: false,
        carriers: { control: undefined as never, bulk: undefined as never },
        isHostDiskFull: async () => await Promise.resolve(false),
        kill: async () => {
          machine.isKilled = true;
          await Promise.resolve();
        },
      };
    },
  };
  return { driver, made };
}

const sandboxes = (): string[] => readdirSync(join(root, 'sandboxes'));

/** The look that follows a taking is a while later. */
async function settled(pool: MachinePool): Promise<void> {
  mock.timers.tick(POOL_REFILL_MS);
  await aTurn();
  await pool.idle();
}

async function look(pool: MachinePool, laterMs: number): Promise<void> {
  nowMs += laterMs;
  mock.timers.tick(POOL_LOOK_MS);
  await settled(pool);
}

test('behind the first job of a kind as many wait as came at once, and each is given once', async () => {
  await using pool = newPool();
  const { driver, made } = newDriver();
  assert.equal(pool.take(driver, KIND), undefined, 'nobody knew of the first');
  assert.equal(pool.take(driver, KIND), undefined);
  await settled(pool);
  assert.equal(pool.count(), 2);
  assert.ok(made.every(({ request }) => request.isSpare === true));
  const taken = [pool.take(driver, KIND), pool.take(driver, KIND)];
  assert.equal(new Set(taken.map((one) => one?.place.sandboxId)).size, 2);
  assert.equal(pool.take(driver, KIND), undefined);
  assert.equal(pool.take(driver, kindOf(2)), undefined, 'another kind');
  for (const one of taken) await (one as WaitingMachine).place.bury();
});

test('never more than the maximum of all kinds, the room of the agent, or its memory', async () => {
  await using pool = newPool({ maximum: 3 });
  const { driver } = newDriver();
  for (let job = 0; job < 5; job++) pool.take(driver, KIND);
  pool.take(driver, kindOf(2));
  await settled(pool);
  assert.equal(pool.count(), 3);
  room = 1;
  await look(pool, 0);
  assert.equal(pool.count(), 1);
  memory = 'too little';
  await look(pool, 0);
  assert.equal(pool.count(), 0);
  memory = 'no more';
  room = 100;
  await look(pool, 0);
  assert.equal(pool.count(), 0);
  memory = 'enough';
  await look(pool, 0);
  assert.equal(pool.count(), 3);
});

test('room that other jobs take is given by all kinds together, by who waits longest first', async () => {
  await using pool = newPool();
  const { driver, made } = newDriver();
  for (const kind of [kindOf(1), kindOf(2)]) {
    for (let job = 0; job < 2; job++) pool.take(driver, kind);
    await settled(pool);
    nowMs += 1000;
  }
  const left = (): number[] =>
    made.filter(({ isKilled }) => !isKilled).map(({ request }) => request.shape.cpus);
  assert.deepEqual(left(), [1, 1, 2, 2]);
  room = 3;
  await look(pool, 0);
  assert.deepEqual(left(), [1, 2, 2]);
  room = 1;
  await look(pool, 0);
  assert.deepEqual([left(), pool.count(), sandboxes().length], [[2], 1, 1]);
});

test('one that is given back after others took its place is no reason for one too many', async () => {
  await using pool = newPool({ maximum: 2 });
  const { driver } = newDriver();
  pool.take(driver, KIND);
  pool.take(driver, kindOf(2));
  await settled(pool);
  const taken = pool.take(driver, KIND);
  assert.ok(taken !== undefined);
  await settled(pool);
  assert.equal(pool.count(), 2);
  pool.giveBack(driver, KIND, taken);
  await look(pool, 0);
  assert.equal(pool.count(), 2);
});

test('demand is forgotten after a while, down to the minimum; then nothing of a machine is left', async () => {
  await using pool = newPool({ minimum: 1 });
  const { driver } = newDriver();
  for (let job = 0; job < 3; job++) pool.take(driver, KIND);
  await settled(pool);
  assert.equal(pool.count(), 3);
  await look(pool, IDLE_MS + 1);
  assert.equal(pool.count(), 1);
  assert.equal(sandboxes().length, 1);
  assert.deepEqual([...alive], sandboxes());
});

test('who waits for long makes way for a new one', async () => {
  await using pool = newPool({ idleMs: 10 * POOL_WAIT_MS });
  const { driver, made } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  const [first = ''] = sandboxes();
  await look(pool, POOL_WAIT_MS + 1);
  assert.equal(pool.count(), 1);
  assert.equal(made.length, 2);
  assert.ok(made[0]?.isKilled);
  assert.ok(!sandboxes().includes(first));
});

test('one that dies while it waits is told, given to nobody, and replaced', async () => {
  await using pool = newPool();
  const { driver, made } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  made[0]?.end();
  await settled(pool);
  assert.equal(pool.count(), 0);
  assert.deepEqual(sandboxes(), []);
  assert.deepEqual(warnings, ['A machine that waited for a job ended: in a test.']);
  await look(pool, 0);
  assert.equal(pool.count(), 1);
});

test('one whose job was somebody else’s waits again', async () => {
  await using pool = newPool();
  const { driver } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  const taken = pool.take(driver, KIND);
  assert.ok(taken !== undefined);
  pool.giveBack(driver, KIND, taken);
  assert.equal(pool.take(driver, KIND), taken);
  await taken.place.bury();
});

test('one that dies while its lease is asked for does not come back', async () => {
  await using pool = newPool();
  const { driver, made } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  const taken = pool.take(driver, KIND);
  assert.ok(taken !== undefined);
  room = 0; // nobody takes its place
  made[0]?.end();
  await settled(pool);
  assert.equal(made[0]?.isKilled, false, 'while it is taken it is not the pool’s to bury');
  pool.giveBack(driver, KIND, taken);
  await pool.idle();
  assert.equal(pool.count(), 0);
  assert.equal(pool.take(driver, KIND), undefined);
  assert.deepEqual([made[0]?.isKilled, sandboxes(), [...alive]], [true, [], []]);
});

test('one that dies after it was given back to a shelf made anew is given to nobody', async () => {
  await using pool = newPool();
  const { driver, made } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  room = 0;
  const taken = pool.take(driver, KIND);
  assert.ok(taken !== undefined);
  // Its kind is forgotten meanwhile.
  await look(pool, IDLE_MS + 1);
  room = 100;
  pool.giveBack(driver, KIND, taken);
  assert.equal(pool.count(), 1);
  made[0]?.end();
  await settled(pool);
  assert.deepEqual([pool.count(), sandboxes()], [0, []]);
});

test('making way for a job is no failure; what fails is told and rests for a while', async () => {
  const errors = [
    new AgentError('stopped', 'Somebody waits.'),
    new AgentError('boot_failed', 'No.'),
  ];
  await using pool = newPool();
  const { driver } = newDriver(() => {
    const error = errors.shift();
    if (error !== undefined) throw error;
  });
  pool.take(driver, KIND);
  await settled(pool);
  assert.deepEqual([pool.count(), warnings, sandboxes()], [0, [], []]);
  await look(pool, 0);
  assert.match(warnings.join(), /No machine waits for jobs for a while: No\./);
  await look(pool, 0);
  assert.equal(pool.count(), 0);
  pool.take(driver, KIND);
  await look(pool, IDLE_MS);
  assert.equal(pool.count(), 2);
});

test('one that is long on its way keeps none from being buried, and is given up with memory or room', async () => {
  const onTheirWay: AbortSignal[] = [];
  let isSlow = false;
  const { driver } = newDriver(async ({ signal }) => {
    if (!isSlow) return;
    onTheirWay.push(signal);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw signal.reason;
  });
  await using pool = newPool();
  const isOnItsWay = (): boolean => onTheirWay.at(-1)?.aborted === false;
  /** Of a look, and of a burial; none of them may take as long as the machine does. */
  const eventually = async (what: string, isTrue: () => boolean): Promise<void> => {
    for (let turn = 0; turn < 1000 && !isTrue(); turn++) await aTurn();
    assert.ok(isTrue(), what);
  };
  const aLook = (): void => mock.timers.tick(POOL_LOOK_MS);

  for (let job = 0; job < 3; job++) pool.take(driver, KIND);
  await settled(pool);
  isSlow = true;
  await pool.take(driver, KIND)?.place.bury();
  mock.timers.tick(POOL_REFILL_MS);
  await eventually('the fourth is on its way', isOnItsWay);
  room = 1;
  aLook();
  await eventually('room for one is left', () => pool.count() === 1 && sandboxes().length === 1);
  assert.ok(!isOnItsWay());
  await pool.idle();

  room = 100;
  aLook();
  await eventually('another is on its way', isOnItsWay);
  aLook();
  for (let turn = 0; turn < 50; turn++) await aTurn();
  assert.ok(isOnItsWay(), 'that it was looked is no reason');
  memory = 'too little';
  aLook();
  await eventually('memory is given back', () => pool.count() + sandboxes().length === 0);
  assert.ok(!isOnItsWay());
  await pool.idle();

  memory = 'enough';
  aLook();
  await eventually('another is on its way', isOnItsWay);
  nowMs += IDLE_MS + 1;
  aLook();
  await eventually('demand is forgotten', () => !isOnItsWay());
  await pool.idle();
  assert.deepEqual([warnings, sandboxes(), [...alive], onTheirWay.length], [[], [], [], 3]);
});

test('at its end nothing waits, and nothing is left', async () => {
  const pool = newPool();
  const { driver, made } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  await pool[Symbol.asyncDispose]();
  assert.ok(made[0]?.isKilled);
  made[0]?.end();
  await settled(pool);
  assert.deepEqual(warnings, [], 'its end was wanted');
  assert.deepEqual([sandboxes(), readdirSync(join(root, 'journals')), [...alive]], [[], [], []]);
  assert.equal(pool.take(driver, KIND), undefined);
});

test('with a maximum of none no machine waits', async () => {
  await using pool = newPool({ maximum: 0 });
  const { driver, made } = newDriver();
  pool.take(driver, KIND);
  await settled(pool);
  assert.deepEqual([pool.isOpen, made.length], [false, 0]);
});
