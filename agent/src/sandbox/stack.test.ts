/** The stack of acquisitions: what it promises when any step of it fails. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { checkLeaksAfterEach, filesBelow } from '../../tests/_leaks.ts';
import { Journal, type Acquisition } from './journal.ts';
import { ProvisionStack, type Undo } from './stack.ts';
import { undoOn } from './undo.ts';

let root = '';
let journals = '';
let journal: Journal;
const undo = undoOn('no-such-marker');

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'onejob-stack-'));
  journals = join(root, 'journals');
  journal = new Journal(journals, newSandboxId());
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});
checkLeaksAfterEach();

const journalText = (): string =>
  readFileSync(join(journals, `${journal.sandboxId}.jsonl`), 'utf8');
const directory = (name: string): Acquisition & { path: string } => ({
  kind: 'directory',
  path: join(root, name),
});

test('the journal names a thing before it exists', async () => {
  const stack = new ProvisionStack(journal, undo);
  const thing = directory('sandbox');
  const text = await stack.acquire(thing, async () => {
    assert.equal(existsSync(thing.path), false);
    const seen = journalText();
    await mkdir(thing.path);
    return seen;
  });
  assert.match(text, new RegExp(`"path":"${thing.path}"`));
  await stack.bury();
});

test('each of five acquisitions that fails in turn, half made or not, leaves nothing', async () => {
  for (const isHalfMade of [false, true]) {
    for (let failing = 0; failing < 5; failing++) {
      const stack = new ProvisionStack(journal, undo);
      const provision = async (): Promise<void> => {
        let place = root;
        for (let step = 0; step < 5; step++) {
          place = join(place, `step-${step}`);
          const path = place;
          await stack.acquire({ kind: 'directory', path }, async () => {
            if (step === failing && !isHalfMade) throw new Error(`step ${step} failed`);
            await mkdir(path);
            if (step === failing) throw new Error(`step ${step} failed`);
          });
        }
      };
      await assert.rejects(provision(), { message: `step ${failing} failed` });
      await stack.bury();
      await stack.bury();
      assert.deepEqual(
        filesBelow(root).filter((path) => path.startsWith('step')),
        [],
      );
    }
  }
});

test('things are undone last first, and each undo twice changes nothing', async () => {
  const order: string[] = [];
  const twice: Undo = async (acquisition) => {
    if (acquisition.kind === 'directory') order.push(acquisition.path.replace(`${root}/`, ''));
    await undo(acquisition);
    await undo(acquisition);
  };
  const stack = new ProvisionStack(journal, twice);
  for (const name of ['a', 'b', 'c']) {
    await stack.acquire(directory(name), async () => await mkdir(join(root, name)));
  }
  await Promise.all([stack.bury(), stack.bury()]);
  assert.deepEqual(order, ['c', 'b', 'a']);
  assert.deepEqual(
    filesBelow(root).filter((path) => path.length === 1),
    [],
  );
});

test('an undo that fails hinders no other, is told, and is tried again by the next burial', async () => {
  const done: string[] = [];
  let failures = 1;
  const stack = new ProvisionStack(journal, async (acquisition) => {
    const name = acquisition.kind === 'directory' ? acquisition.path.slice(-1) : '';
    if (name === 'b' && failures-- > 0) throw new Error('b is busy');
    done.push(name);
    await undo(acquisition);
  });
  for (const name of ['a', 'b', 'c']) {
    await stack.acquire(directory(name), async () => await mkdir(join(root, name)));
  }
  await assert.rejects(stack.bury(), (error: unknown) => {
    assert.ok(error instanceof AggregateError);
    assert.deepEqual(
      error.errors.map((one: Error) => one.message),
      ['b is busy'],
    );
    return true;
  });
  assert.deepEqual(done, ['c', 'a']);
  await assert.rejects(
    stack.acquire(directory('d'), () => {}),
    { code: 'boot_failed' },
  );
  await stack.bury();
  assert.deepEqual(done, ['c', 'a', 'b']);
  assert.equal(existsSync(join(root, 'b')), false);
});

test('a stack that is buried acquires nothing more and writes nothing more', async () => {
  const stack = new ProvisionStack(journal, undo);
  await stack.acquire(directory('a'), async () => await mkdir(join(root, 'a')));
  await stack.bury();
  const before = journalText();
  let made = false;
  await assert.rejects(
    stack.acquire(directory('b'), () => {
      made = true;
    }),
    { code: 'boot_failed' },
  );
  assert.equal(made, false);
  assert.equal(journalText(), before);
});

test('what was acquired since a depth is undone, last first, and the stack goes on', async () => {
  const undone: string[] = [];
  const stack = new ProvisionStack(journal, async (acquisition) => {
    undone.push((acquisition as { path: string }).path);
    await undo(acquisition);
  });
  const make = async (name: string): Promise<void> => {
    const thing = directory(name);
    await stack.acquire(thing, async () => await mkdir(thing.path));
  };
  await make('kept');
  const { depth } = stack;
  await make('second');
  await make('third');
  await stack.undoTo(depth);
  await stack.undoTo(depth);
  assert.deepEqual(undone, [join(root, 'third'), join(root, 'second')]);
  assert.equal(existsSync(join(root, 'kept')), true);
  await make('second');
  await stack.bury();
  assert.deepEqual(
    filesBelow(root).filter((path) => !path.startsWith('journals')),
    [],
  );
});
