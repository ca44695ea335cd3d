import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkClaims } from './claims.ts';

const tests = [{ path: 'agent/src/x.test.ts', text: "test('walls hold', () => {});" }];
const messages = (claims: string): string[] =>
  checkClaims(
    { path: 'SECURITY.md', text: `# S\n\n## Claims\n\n${claims}\n\n## Other\n` },
    tests,
  ).map((one) => one.message);

test('a claim that names an existing test passes', () => {
  assert.deepEqual(messages('- Walls hold,\n  always.\n  `agent/src/x.test.ts` › walls hold'), []);
});

test('a claim without a test, or with one that is not there, is a violation', () => {
  assert.match(messages('- Walls hold.')[0] ?? '', /without a test/);
  assert.match(
    messages('- W.\n  `agent/src/x.test.ts` › walls fall')[0] ?? '',
    /no test "walls fall"/,
  );
  assert.match(messages('- W.\n  `agent/src/y.test.ts` › walls hold')[0] ?? '', /in agent\/src\/y/);
});

test('a page without claims is a violation, not a pass', () => {
  assert.match(messages('Nothing here.')[0] ?? '', /no claims/);
});
