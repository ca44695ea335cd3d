import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { COMMAND_LINE_BYTES } from '../limits.ts';
import { CommandScanner } from './command-scanner.ts';

type Seen = { text: string; commands: string[] };

function scan(chunks: Buffer[], accept: (line: string) => boolean): Seen {
  const seen: Seen = { text: '', commands: [] };
  const scanner = new CommandScanner({
    text: (bytes) => (seen.text += bytes.toString('latin1')),
    command: (line) => accept(line) && seen.commands.push(line) > 0,
    longMask: () => assert.fail('no line is long'),
  });
  for (const chunk of chunks) scanner.push(chunk);
  scanner.flush();
  return seen;
}

/** The same by lines, with all of it in memory. */
function model(all: string, accept: (line: string) => boolean): Seen {
  const seen: Seen = { text: '', commands: [] };
  for (const line of all.match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g) ?? []) {
    const content = line.replace(/[\r\n]+$/, '');
    if (/^[ \t]*::|##\[/.test(line) && accept(content)) seen.commands.push(content);
    else seen.text += line;
  }
  return seen;
}

test('however output is cut, commands and text come as if it were whole', () => {
  const piece = fc.constantFrom(
    '::',
    ':',
    '##[',
    '#',
    '\n',
    '\r\n',
    '\r',
    ' ',
    '\t',
    'a',
    'no',
    'error::x',
  );
  const accept = (line: string): boolean => !line.includes('no');
  fc.assert(
    fc.property(fc.array(piece), fc.infiniteStream(fc.nat(5)), (pieces, sizes) => {
      const all = pieces.join('');
      const bytes = Buffer.from(all, 'latin1');
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const size = sizes.next().value! + 1;
        chunks.push(bytes.subarray(at, at + size));
        at += size;
      }
      assert.deepEqual(scan(chunks, accept), model(all, accept));
    }),
  );
});

test('a carriage return alone ends a line, also where it is the last byte of a chunk', () => {
  const accept = (): boolean => true;
  for (const cuts of [[], [4], [5], [4, 5, 6]]) {
    const bytes = Buffer.from('10%\r::add-mask::s\r\n20%\r::error::x');
    const ends = [...cuts, bytes.length];
    const chunks = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
    assert.deepEqual(scan(chunks, accept), {
      text: '10%\r20%\r',
      commands: ['::add-mask::s', '::error::x'],
    });
  }
});

test('white space before a command may be of several bytes', () => {
  const accept = (): boolean => true;
  const seen = scan([Buffer.from('\u00a0\u2003::add-mask::s\n\u00e9::error::x\n')], accept);
  assert.deepEqual(seen.commands, ['\u00a0\u2003::add-mask::s']);
});

test('a line that begins as a command but is too long is text, not held', () => {
  let largestHeld = 0;
  let given = 0;
  let sent = 0;
  const scanner = new CommandScanner({
    text: (bytes) => (given += bytes.length),
    command: () => assert.fail('too long'),
    longMask: () => assert.fail('it adds no mask'),
  });
  const chunk = Buffer.alloc(64 * 1024, 'x');
  scanner.push(Buffer.from('::error::'));
  sent += 9;
  for (let i = 0; i < 64; i++) {
    scanner.push(chunk);
    sent += chunk.length;
    largestHeld = Math.max(largestHeld, sent - given);
  }
  scanner.push(Buffer.from('\n'));
  assert.equal(given, sent + 1);
  assert.ok(largestHeld <= COMMAND_LINE_BYTES + chunk.length, `${largestHeld}`);
});

test('a line that adds a mask and is too long is told before its value, and shown no further', () => {
  const value = 'v'.repeat(COMMAND_LINE_BYTES);
  const lines = {
    '::add-mask::': 0,
    ' ::ADD-MASK a=b::': 0,
    'shown ##[add-mask]': 6,
    '##[other]##[add-mask]': -1,
  };
  for (const size of [1000, 64 * 1024, 4 * COMMAND_LINE_BYTES]) {
    for (const [head, shownBytes] of Object.entries(lines)) {
      for (const isObeyed of [true, false]) {
        let [text, told] = ['', 0];
        const scanner = new CommandScanner({
          text: (bytes) => (text += bytes.toString()),
          command: () => false,
          longMask: () => {
            told += 1;
            return isObeyed;
          },
        });
        const bytes = Buffer.from(`before\n${head}${value}\nafter\n`);
        for (let at = 0; at < bytes.length; at += size) scanner.push(bytes.subarray(at, at + size));
        scanner.flush();
        assert.equal(told, shownBytes < 0 ? 0 : 1, head);
        if (told === 0 || !isObeyed) assert.equal(text, bytes.toString());
        else
          assert.ok(
            /^before\n(?:shown )?(?:after\n)?$/.test(text),
            `${head} ${text.slice(0, 200)}`,
          );
        if (told === 1 && isObeyed) assert.ok(!text.includes('vvv') && text.endsWith('after\n'));
      }
    }
  }
});

test('a command at the end of a very long line of text is found where it adds a mask', () => {
  let told = 0;
  let shown = '';
  const scanner = new CommandScanner({
    text: (bytes) => (shown += bytes.toString()),
    command: () => false,
    longMask: () => (told += 1) > 0,
  });
  for (const piece of [
    'x'.repeat(2 * COMMAND_LINE_BYTES),
    '##[add',
    '-mask',
    ']the value',
    ' of it\n',
    'next\n',
  ]) {
    scanner.push(Buffer.from(piece));
  }
  scanner.flush();
  assert.equal(told, 1);
  assert.ok(!shown.includes('value') && !shown.includes('of it') && shown.endsWith('next\n'));
});
