// The cases are those of the official runner's IssueMatcherL0 (actions/runner), restated, and what
// this reader lets through or refuses beyond them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MATCHER_FILE_BYTES, MATCHER_PATTERNS, MATCHERS_PER_JOB } from '../limits.ts';
import { parseMatchers, parseOwners } from './matcher-config.ts';
import type { MatcherConfig } from './matcher-config.ts';
import { TimeGuard } from './time-guard.ts';

const guard = new TimeGuard();
type Pattern = Record<string, unknown>;
const ERROR: Pattern = { regexp: '^error: (.+)$', message: 1 };
const FILE: Pattern = { regexp: '^file: (.+)$', file: 1 };

const parse = (patterns: Pattern[], rest: object = {}): MatcherConfig[] =>
  parseMatchers(
    JSON.stringify({ problemMatcher: [{ owner: 'mine', pattern: patterns, ...rest }] }),
    guard,
  );
const parseAll = (...matchers: object[]): MatcherConfig[] =>
  parseMatchers(JSON.stringify({ problemMatcher: matchers }), guard);

test('loop needs several patterns, the last place, and a message', () => {
  const onlyLast = /^GuestError: Only the last pattern in a multiline matcher may set 'loop'$/;
  assert.throws(() => parse([{ ...ERROR, loop: true }]), onlyLast);
  parse([FILE, { ...ERROR, loop: true }]);
  const severity = { regexp: '^(error)$', severity: 1 };
  assert.throws(() => parse([severity, { ...FILE, loop: true }, ERROR]), onlyLast);
  parse([severity, FILE, { ...ERROR, loop: true }]);
  assert.throws(
    () => parse([ERROR, { ...FILE, loop: true }]),
    /The loop pattern must set 'message'$/,
  );
  parse([ERROR, FILE]);
});

test('one pattern must set a message, whichever', () => {
  assert.throws(() => parse([FILE]), /At least one pattern must set 'message'$/);
  parse([ERROR, FILE]);
  parse([FILE, ERROR]);
});

test('an owner is there and its own, in any case of letters', () => {
  assert.throws(() => parse([ERROR], { owner: '' }), /Owner must not be empty$/);
  const both = (second: string) => () =>
    parseAll({ owner: 'mine', pattern: [ERROR] }, { owner: second, pattern: [ERROR] });
  assert.throws(both('MINE'), /Duplicate owner name 'MINE'$/);
  assert.equal(both('other')().length, 2);
});

test('patterns, severities and groups are checked', () => {
  assert.throws(() => parse([]), /Matcher 'mine' does not contain any patterns$/);
  assert.throws(
    () => parse([ERROR], { severity: 'info' }),
    /Matcher 'mine' contains unexpected default severity 'info'$/,
  );
  for (const severity of ['', null, 'ERROR', 'Warning', 'notice']) parse([ERROR], { severity });
  assert.throws(() => parse([FILE, FILE, ERROR]), /The property 'file' is set twice$/);
  for (const message of [2, -1]) {
    assert.throws(
      () => parse([{ regexp: '^(.+)$', message }]),
      new RegExp(`The property 'message' is set to ${message} which is out of range$`),
    );
  }
  parse([{ regexp: '^.+$', message: 0 }]);
});

test('comments, commas, other cases and numbers as text are let through, as on GitHub', () => {
  const text = `\ufeff{ // a comment with a "quote
    "ProblemMatcher": [ { "owner": "a//b", /* " */ "pattern": [
      { "regexp": "^(?<x>,]) (.)", "message": "2", "loop": "false" },
    ], }, ],
  }`;
  const [matcher] = parseMatchers(text, guard);
  assert.equal(matcher?.owner, 'a//b');
  assert.equal(matcher?.patterns[0]?.regexp.source, '^(?<x>,]) (.)');
  assert.deepEqual(matcher?.patterns[0]?.groups, { message: 2 });
});

test('a file without matchers adds none', () => {
  for (const text of ['null', '{}', '{"problemMatcher": null}', '{"problemMatcher": []}']) {
    assert.deepEqual(parseMatchers(text, guard), []);
  }
});

test('what is no matcher file is refused with a sentence', () => {
  for (const [text, sentence] of [
    ['', /is not valid JSON\.$/],
    ['{"problemMatcher":\n [1,2 3', /is not valid JSON \(line 2, column 7\)\.$/],
    ['a secret word', /is not valid JSON\.$/],
    ['[]', /must be an object with a list 'problemMatcher'/],
    ['{"problemMatcher": {}}', /'problemMatcher' must be a list/],
    ['{"problemMatcher": [null]}', /Each entry of 'problemMatcher' must be an object/],
    ['{"problemMatcher": [{"owner": []}]}', /'owner' must be a text/],
    ['{"problemMatcher": [{"owner": "a", "pattern": {}}]}', /'pattern' must be a list/],
  ] as const) {
    assert.throws(() => parseMatchers(text, guard), sentence);
  }
  assert.throws(
    () => parse([{ ...ERROR, message: 1.5 }]),
    /'message' must be the number of a group/,
  );
  assert.throws(() => parse([{ ...ERROR, loop: 1 }]), /'loop' must be true or false/);
});

test('an expression that JavaScript does not know is refused, one for any case is not', () => {
  assert.throws(
    () => parse([{ regexp: '(?>a)(b)', message: 1 }]),
    /The regular expression '\(\?>a\)\(b\)' cannot be used: .* the regular expressions of JavaScript\.$/,
  );
  assert.ok(
    parse([{ regexp: '(?i)^error (.)', message: 1 }])[0]?.patterns[0]?.regexp.test('ERROR x'),
  );
  assert.throws(() => parse([{ regexp: 'x'.repeat(20_000), message: 0 }]), /longer than/);
});

test('numbers of matchers and patterns are limited', () => {
  const many = Array.from({ length: MATCHERS_PER_JOB + 1 }, (_, i) => ({
    owner: `${i}`,
    pattern: [ERROR],
  }));
  assert.throws(() => parseAll(...many), /'problemMatcher' has more than \d+ entries/);
  const patterns = Array.from({ length: MATCHER_PATTERNS + 1 }, () => ({ regexp: 'x' }));
  assert.throws(() => parse(patterns), /'pattern' has more than \d+ entries/);
});

test('owners are read from a file that is wrong otherwise', () => {
  assert.deepEqual(parseOwners('{"problemMatcher": [{"owner": "a", "pattern": 1}, {}]}'), [
    'a',
    '',
  ]);
});

test('a file made to be slow to read is not', { timeout: 20_000 }, () => {
  for (const part of ['/*', '"', '//', '"\\\n', ',', ', ', '[{"a":', '{']) {
    const text = part.repeat(Math.floor(MATCHER_FILE_BYTES / part.length));
    assert.throws(() => parseMatchers(text, guard));
  }
});
