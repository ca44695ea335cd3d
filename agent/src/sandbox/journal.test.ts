/** Journals as the next start of the agent reads them. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { newSandboxId, type JobId } from '@onejob/protocol';
import { Journal, monotonicMs, readJournals, type JournalLine } from './journal.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-journal-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const LINES: JournalLine[] = [
  { entry: 'lease', jobId: 'a-job' as JobId, attempt: 2, epoch: '9007199254740993' },
  { entry: 'acquire', acquisition: { kind: 'directory', path: '/nowhere' } },
  { entry: 'adopting' },
];

test('lines are read back as they were written, and the observer hears of each', () => {
  const seen: string[] = [];
  const journal = new Journal(directory, newSandboxId(), (line, count) =>
    seen.push(`${count} ${line.entry}`),
  );
  for (const line of LINES) journal.write(line);
  assert.deepEqual(seen, ['1 lease', '2 acquire', '3 adopting']);
  const [read] = readJournals(directory);
  assert.equal(read?.sandboxId, journal.sandboxId);
  assert.deepEqual(read?.lines, LINES);
  const ageMs = monotonicMs() - (read?.begunAtMs ?? 0);
  assert.ok(ageMs >= 0 && ageMs < 60_000, 'when it was begun, by the clock of the host');
  read?.remove();
  assert.deepEqual(readdirSync(directory), []);
});

test('a line torn at any byte is left out and costs no other line', () => {
  const journal = new Journal(directory, newSandboxId());
  const torn = JSON.stringify({ entry: 'acquire', acquisition: { kind: 'disk', path: '/ä' } });
  const bytes = Buffer.from(torn);
  for (let length = 0; length < bytes.length; length++) {
    journal.close();
    for (const line of LINES) journal.write(line);
    appendFileSync(join(directory, `${journal.sandboxId}.jsonl`), bytes.subarray(0, length));
    assert.deepEqual(readJournals(directory)[0]?.lines, LINES);
  }
});

test('what is no line of ours is left out: zeros after a crash, other JSON', () => {
  const journal = new Journal(directory, newSandboxId());
  journal.write({ entry: 'adopting' });
  appendFileSync(
    join(directory, `${journal.sandboxId}.jsonl`),
    `${'\0'.repeat(100)}\nnull\n[]\n7\n{"entry":1}\n`,
  );
  assert.deepEqual(readJournals(directory)[0]?.lines, [{ entry: 'adopting' }]);
});

test('files that are no journals of sandboxes are not read', () => {
  for (const name of ['notes.jsonl', 'sb12.jsonl', 'README', `${newSandboxId()}.json`]) {
    writeFileSync(join(directory, name), '{"entry":"adopting"}\n');
  }
  assert.deepEqual(readJournals(directory), []);
  assert.deepEqual(readJournals(join(directory, 'missing')), []);
});

test('a journal that cannot be read is told, and hides no other', () => {
  const unreadable = newSandboxId();
  mkdirSync(join(directory, `${unreadable}.jsonl`));
  const journal = new Journal(directory, newSandboxId());
  journal.write({ entry: 'adopting' });
  const read = readJournals(directory);
  assert.equal(read.length, 2);
  const broken = read.find((one) => one.sandboxId === unreadable);
  assert.equal(broken?.unreadable?.code, 'journal_unreadable');
  assert.match(broken?.unreadable?.message ?? '', new RegExp(unreadable));
  const whole = read.find((one) => one.sandboxId === journal.sandboxId);
  assert.deepEqual(whole?.lines, [{ entry: 'adopting' }]);
});
