// The cases are those of the official runner's IssueMatcherL0 (actions/runner), restated.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMatchers } from './matcher-config.ts';
import { Matcher } from './matcher.ts';
import type { Captured } from './matcher.ts';
import { TimeGuard } from './time-guard.ts';

/** What a matcher says to each line in turn. */
function run(lines: string[], pattern: object[], rest: object = {}): (Captured | undefined)[] {
  const text = JSON.stringify({ problemMatcher: [{ owner: 'mine', pattern, ...rest }] });
  const [config] = parseMatchers(text, new TimeGuard());
  const matcher = new Matcher(config!);
  assert.equal(matcher.owner, 'mine');
  return lines.map((line) => matcher.match(line));
}

const none = undefined;
const any = (...names: string[]): object[] =>
  names.map((name) => ({ regexp: '^(.+)$', [name]: 1 }));
const MESSAGE = { regexp: '^message:(.+)$', message: 1 };
const LOOP = { ...MESSAGE, loop: true };

test('one pattern captures every property', () => {
  const names = ['file', 'line', 'column', 'severity', 'code', 'message', 'fromPath'];
  const regexp = `^${names.map((name) => `${name}:(.+)`).join(' ')}$`;
  const groups = Object.fromEntries(names.map((name, index) => [name, index + 1]));
  const line = names.map((name) => `${name}:the ${name}`).join(' ');
  const expected = Object.fromEntries(names.map((name) => [name, `the ${name}`]));
  assert.deepEqual(run([line, 'x'], [{ regexp, ...groups }]), [expected, none]);
});

test('several patterns without loop match once, and then begin anew', () => {
  const lines = ['f', 's', 'message:m', 'message:again'];
  const expected = { file: 'f', severity: 's', message: 'm' };
  assert.deepEqual(run(lines, [...any('file', 'severity'), MESSAGE]), [none, none, expected, none]);
  const exact = [{ regexp: '^file:(.+)$', file: 1 }, MESSAGE];
  assert.deepEqual(run(['file:f', 'message:m', 'message:m'], exact), [
    none,
    { file: 'f', message: 'm' },
    none,
  ]);
});

test('a match without loop clears all that was captured', () => {
  const found = run(['f1', 's1', 'm1', 'f2', 's2', 'm2'], any('file', 'severity', 'message'));
  assert.deepEqual(found[2], { file: 'f1', severity: 's1', message: 'm1' });
  assert.deepEqual(found[5], { file: 'f2', severity: 's2', message: 'm2' });
  assert.equal(found.filter((one) => one !== undefined).length, 2);
});

test('loop repeats the last pattern with what the others captured', () => {
  const patterns = [
    { regexp: '^file:(.+) fromPath:(.+)$', file: 1, fromPath: 2 },
    { regexp: '^severity:(.+)$', severity: 1 },
    { regexp: '^(.+),(.+),(.+),(.+)$', line: 1, column: 2, code: 3, message: 4, loop: true },
  ];
  const found = run(
    ['file:f fromPath:p', 'severity:bad', '1,2,c,m', '3,4,d,n', '5,6,e,o'],
    patterns,
  );
  const common = { file: 'f', fromPath: 'p', severity: 'bad' };
  assert.deepEqual(found.slice(2), [
    { ...common, line: '1', column: '2', code: 'c', message: 'm' },
    { ...common, line: '3', column: '4', code: 'd', message: 'n' },
    { ...common, line: '5', column: '6', code: 'e', message: 'o' },
  ]);
});

test('a line that breaks a loop is where the next match begins', () => {
  const lines = ['f1', 's1', 'message:m1', 'message:m2', 'f2', 'message:s2', 'message:m3'];
  assert.deepEqual(run(lines, [...any('file', 'severity'), LOOP]), [
    none,
    none,
    { file: 'f1', severity: 's1', message: 'm1' },
    { file: 'f1', severity: 's1', message: 'm2' },
    none,
    none,
    { file: 'f2', severity: 'message:s2', message: 'm3' },
  ]);
});

test('every line may begin a match, so the last lines before it count', () => {
  for (const last of [MESSAGE, LOOP]) {
    const lines = [
      'message:1',
      'abc',
      'f2',
      'c2',
      'message:2',
      'abc',
      'abc',
      'f3',
      'c3',
      'message:3',
    ];
    const found = run(lines, [...any('file', 'code'), last]);
    assert.deepEqual(found[4], { file: 'f2', code: 'c2', message: '2' });
    assert.deepEqual(found[9], { file: 'f3', code: 'c3', message: '3' });
    assert.equal(found.filter((one) => one !== undefined).length, 2);
  }
});

test('the default severity fills an empty one', () => {
  const regexp = '^(ERROR)?(?: )?(.+)';
  const lines = ['ABC: m', 'ERROR ABC: m'];
  const single = { regexp: `${regexp}: (.+)$`, severity: 1, code: 2, message: 3 };
  const warning = { severity: 'warning', code: 'ABC', message: 'm' };
  const error = { ...warning, severity: 'ERROR' };
  assert.deepEqual(run(lines, [single], { severity: 'warning' }), [warning, error]);
  const several = [{ regexp: `${regexp}:$`, severity: 1, code: 2 }, ...any('message')];
  assert.deepEqual(run(['ABC:', 'm', 'ERROR ABC:', 'm'], several, { severity: 'warning' }), [
    none,
    warning,
    none,
    error,
  ]);
});
