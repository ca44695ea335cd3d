import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { hashFiles } from './hash-files.ts';

let root = '';
const FILES = [
  'a.lock',
  'b.txt',
  'src/a.lock',
  'src/deep/er/c.lock',
  '.hidden/d.lock',
  'src/[x].txt',
];

before(() => {
  root = mkdtempSync(join(tmpdir(), 'onejob-hash-'));
  for (const file of FILES) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), file);
  }
  symlinkSync('/etc/hostname', join(root, 'link.lock'));
});
after(() => rmSync(root, { recursive: true }));

/** What the rule says for these files, in this order. */
function expected(...files: string[]): string {
  const total = createHash('sha256');
  for (const file of files) total.update(createHash('sha256').update(file).digest());
  return total.digest('hex');
}

test('patterns choose files in the order of their paths', () => {
  const cases: [string[], string[]][] = [
    [['a.lock'], ['a.lock']],
    [['*.lock'], ['a.lock']],
    [['**/*.lock'], ['.hidden/d.lock', 'a.lock', 'src/a.lock', 'src/deep/er/c.lock']],
    [
      ['**/*.lock', '!src/**'],
      ['.hidden/d.lock', 'a.lock'],
    ],
    [
      ['**/*.lock', '!src/**', 'src/a.lock'],
      ['.hidden/d.lock', 'a.lock', 'src/a.lock'],
    ],
    [['src'], ['src/[x].txt', 'src/a.lock', 'src/deep/er/c.lock']],
    [['src/**/c.lock'], ['src/deep/er/c.lock']],
    [['./b.???'], ['b.txt']],
    [['[ab].*'], ['a.lock', 'b.txt']],
    [['# no\n\nb.txt'], ['b.txt']],
  ];
  for (const [patterns, files] of cases) {
    assert.equal(hashFiles(root, patterns), expected(...files), patterns.join(' '));
  }
  assert.equal(hashFiles(root, [join(root, 'b.txt')]), expected('b.txt'));
});

test('nothing found, or nothing of the workspace asked for, is empty text', () => {
  for (const pattern of ['*.nope', '../*', '/etc/hostname', '!a.lock', '']) {
    assert.equal(hashFiles(root, [pattern]), '', pattern);
  }
});
