import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkLimitsPage } from './limits-page.ts';

const CODE: Record<string, unknown> = {
  'a.ts SIZE': 16 * 1024 * 1024,
  'a.ts TIME_MS': 300_000,
  'a.ts COUNT': 10_000,
};
const messages = (...rows: string[]): string[] =>
  checkLimitsPage(
    {
      path: 'docs/limits.md',
      text: `# L\n\n| what | at most | constant |\n| --- | --- | --- |\n${rows.join('\n')}\n`,
    },
    (file, name) => CODE[`${file} ${name}`],
  ).map((one) => one.message);

test('numbers that are those of the code pass, in any unit', () => {
  const rows = [
    '| a file | 16 MiB | `SIZE` in `a.ts` |',
    '| a wait | 5 minutes | `TIME_MS` in `a.ts` |',
    '| a wait | 300 seconds | `TIME_MS` in `a.ts` |',
    '| values | 10,000 | `COUNT` in `a.ts` |',
    '| values | 10,000 characters, of one name | `COUNT` in `a.ts` |',
  ];
  assert.deepEqual(messages(...rows), []);
});

test('another number, another unit, a constant that is gone or not named is a violation', () => {
  assert.match(messages('| a | 15 MiB | `SIZE` in `a.ts` |')[0] ?? '', /15 MiB, the code 16777216/);
  assert.match(messages('| a | 16 KiB | `SIZE` in `a.ts` |')[0] ?? '', /The page says/);
  assert.match(messages('| a | many | `SIZE` in `a.ts` |')[0] ?? '', /The page says many/);
  assert.match(messages('| a | 1 | `GONE` in `a.ts` |')[0] ?? '', /a\.ts has no GONE/);
  assert.match(messages('| a | 1 | none |')[0] ?? '', /Name the constant/);
});

test('a page without limits is a violation, not a pass', () => {
  assert.match(messages()[0] ?? '', /no limit/);
});
