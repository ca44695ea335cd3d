// Most cases are those of the official runner's OutputManagerL0 (actions/runner), restated.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GuestError } from '../errors.ts';
import { MATCHERS_PER_JOB } from '../limits.ts';
import { ProblemMatchers } from './problem-matchers.ts';

type Patterns = Record<string, object | object[]>;

const file = (matchers: Patterns): string =>
  JSON.stringify({
    problemMatcher: Object.entries(matchers).map(([owner, pattern]) => ({
      owner,
      pattern: [pattern].flat(),
    })),
  });

function make(matchers: Patterns): ProblemMatchers {
  const made = new ProblemMatchers();
  made.add(file(matchers));
  return made;
}

/** The messages of problems; a line without one is itself, after `=`. */
const said = (matchers: ProblemMatchers, ...lines: string[]): string[] =>
  matchers.match(lines).map((one, index) => one?.problem?.message ?? `=${lines[index]}`);
const notes = (matchers: ProblemMatchers, ...lines: string[]): string[] =>
  matchers
    .match(lines)
    .flatMap((one) => one?.notes.map(({ kind, text }) => `${kind}: ${text}`) ?? []);

const ERROR = { regexp: 'ERROR: (.+)', message: 1 };
const ENDED = { regexp: 'ERROR: (.+) END', message: 1 };
const TWO = { one: ERROR, two: { regexp: 'BAD: (.+)', message: 1 } };

test('matchers of one file are at work together', () => {
  assert.deepEqual(said(make(TWO), 'ERROR: a', 'BAD: b', 'c'), ['a', 'b', '=c']);
});

test('a matcher replaces the one of the same owner, in any case of letters', () => {
  const matchers = make(TWO);
  assert.deepEqual(matchers.add(file({ ONE: ENDED })), ['ONE']);
  assert.deepEqual(said(matchers, 'ERROR: a END', 'ERROR: b', 'BAD: c'), ['a', '=ERROR: b', 'c']);
});

test('the newest matcher comes first', () => {
  const matchers = make(TWO);
  matchers.add(file({ three: ENDED }));
  assert.deepEqual(said(matchers, 'ERROR: a END', 'ERROR: b', 'BAD: c'), ['a', 'b', 'c']);
});

test('a matcher is removed by its owner or by a file', () => {
  const matchers = make(TWO);
  assert.deepEqual(matchers.remove(['ONE', 'unknown']), ['one']);
  assert.deepEqual(said(matchers, 'ERROR: a', 'BAD: b'), ['=ERROR: a', 'b']);
  assert.deepEqual(matchers.removeFile('{"problemMatcher": [{"owner": "two"}]}'), ['two']);
  assert.equal(matchers.isEmpty, true);
  assert.deepEqual(said(matchers, 'BAD: b'), ['=BAD: b']);
});

test('a match does not reset the matcher that made it', () => {
  const matchers = make({
    one: [{ regexp: 'Start: .+' }, { regexp: 'Error: (.+)', message: 1, loop: true }],
  });
  const lines = ['Start: x', 'Error: a', 'Error: b', 'y', 'Error: no', 'Start: z', 'Error: c'];
  const expected = ['=Start: x', 'a', 'b', '=y', '=Error: no', '=Start: z', 'c'];
  assert.deepEqual(said(matchers, ...lines), expected);
  matchers.match(['Start: x']);
  matchers.reset();
  assert.deepEqual(said(matchers, 'Error: a'), ['=Error: a']);
});

test('a match resets the other matchers', () => {
  const matchers = make({
    one: [{ regexp: 'both: .+' }, { regexp: 'only one: (.+)', message: 1 }],
    two: [{ regexp: 'both: .+' }, { regexp: '(.+)', message: 1 }],
  });
  assert.deepEqual(said(matchers, 'both: x', 'only one: a', 'b', 'both: y', 'c'), [
    '=both: x',
    'a',
    '=b',
    '=both: y',
    'c',
  ]);
});

test('severities are read in any case; an unknown one leaves the line to others', () => {
  const matchers = make({
    one: { regexp: '(.*): (.+)', severity: 1, message: 2 },
    two: { regexp: 'ERROR! (.+)', message: 1 },
  });
  const lines = ['ERRor: a', 'WARNing: b', 'Notice: c', 'info: d', ': e', 'ERROR! f'];
  const found = matchers.match(lines);
  assert.deepEqual(
    found.map((one) => one?.problem?.level),
    ['error', 'warning', 'notice', undefined, 'error', 'error'],
  );
  assert.deepEqual(notes(matchers, 'info: d'), [
    "debug: Skipped logging an issue for the matched line because the severity 'info' is not supported.",
  ]);
});

test('an empty message is no problem', () => {
  const matchers = make({ one: { regexp: '^x(.*)', message: 1 } });
  assert.deepEqual(said(matchers, 'x '), ['=x ']);
  assert.match(notes(matchers, 'x ')[0]!, /^debug: Skipping .* because the message is empty\.$/);
});

test('colours are taken out before a line is matched', () => {
  const matchers = make({ one: { regexp: '^the error: (.+)$', message: 1 } });
  const [found] = matchers.match(['the error: \u001b[31mred, \u001b[1;31mbright, \u001b[mreset']);
  assert.equal(found?.problem?.message, 'red, bright, reset');
  assert.equal(found?.line, 'the error: red, bright, reset');
});

test('a matcher that takes too long is removed at the third time', { timeout: 60_000 }, () => {
  const matchers = make({ slow: { regexp: '^(?:a+)+$', message: 0 }, err: ERROR });
  const bad = `${'a'.repeat(60)}!`;
  const found = matchers.match(['aa', bad, 'aa', 'ERROR: b']);
  assert.deepEqual(
    found.map((one) => one?.problem?.message),
    ['aa', undefined, undefined, 'b'],
  );
  assert.deepEqual(
    found[1]?.notes.map(({ kind, text }) => `${kind}: ${text}`),
    [
      `debug: Timeout processing issue matcher 'slow' against line '${bad}'.`,
      `debug: Timeout processing issue matcher 'slow' against line '${bad}'.`,
      "warning: Removing issue matcher 'slow'. Matcher failed 3 times. Error: a regular expression took longer than 1000 ms",
    ],
  );
  assert.deepEqual(said(matchers, 'aa', 'ERROR: c'), ['=aa', 'c']);
});

test('matchers of several files are limited together', () => {
  const matchers = new ProblemMatchers();
  for (let i = 0; i < MATCHERS_PER_JOB; i++) matchers.add(file({ [`m${i}`]: ERROR }));
  assert.throws(() => matchers.add(file({ more: ERROR })), /More than \d+ problem matchers/);
  matchers.add(file({ m0: ENDED }));
});

test('any matchers and any lines: found, or refused with a sentence', { timeout: 120_000 }, () => {
  const part = fc.constantFrom(
    'a',
    '(',
    ')',
    '(.+)',
    '(\\d+)',
    '*',
    '^',
    '$',
    '|',
    '[',
    ']',
    '\\s',
    '?',
  );
  const regexp = fc.oneof(
    fc.array(part).map((parts) => parts.join('')),
    fc.string(),
  );
  const group = fc.oneof(fc.integer({ min: -1, max: 3 }), fc.constant(null), fc.jsonValue());
  const pattern = fc.record(
    { regexp, file: group, line: group, severity: group, message: group, loop: fc.boolean() },
    { requiredKeys: ['regexp', 'message'] },
  );
  const owner = fc.constantFrom('a', 'A', 'b', '__proto__');
  const matcher = fc.record({ owner, pattern: fc.array(pattern, { minLength: 1, maxLength: 3 }) });
  const json = fc.oneof(
    fc.array(matcher, { maxLength: 3 }).map((problemMatcher) => JSON.stringify({ problemMatcher })),
    fc.json(),
    fc.string(),
  );
  const line = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.array(part).map((p) => p.join('')),
  );
  fc.assert(
    fc.property(json, fc.array(line, { maxLength: 10 }), (text, lines) => {
      const matchers = new ProblemMatchers();
      try {
        matchers.add(text);
      } catch (error) {
        assert.ok(error instanceof GuestError && error.message.length > 10, String(error));
      }
      const found = matchers.match(lines);
      assert.equal(found.length, lines.length);
      for (const one of found) if (one?.problem) assert.notEqual(one.problem.message.trim(), '');
    }),
    { numRuns: 300 },
  );
});
