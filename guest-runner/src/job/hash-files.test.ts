/** `hashFiles`: chosen trees and patterns, and generated ones beside the glob package of GitHub. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { create } from '@actions/glob';
import fc from 'fast-check';
import { GuestError } from '../errors.ts';
import { hashFiles } from './hash-files.ts';

let root = '';
const FILES = [
  'a.lock',
  'b.txt',
  'src/a.lock',
  'src/b.lock',
  'src/deep/er/c.lock',
  '.hidden/d.lock',
  'src/[x].txt',
  'back\\slash*.txt',
  'src.d/b',
  'é/a.lock',
];
const LINKS: Record<string, string> = {
  'link.lock': 'a.lock',
  'src/up': '..',
  linked: 'src/deep',
};

const write = process.stdout.write.bind(process.stdout);

before(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'onejob-hash-')));
  for (const file of FILES) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), file);
  }
  for (const [path, target] of Object.entries(LINKS)) symlinkSync(target, join(root, path));
  // The glob package looks from there, and tells everything it does.
  process.chdir(root);
  process.env['HOME'] = join(root, 'src');
  process.stdout.write = (text: unknown, ...rest: unknown[]) =>
    String(text).startsWith('::debug::') || Reflect.apply(write, undefined, [text, ...rest]);
});
after(() => {
  process.stdout.write = write;
  process.chdir(tmpdir());
  rmSync(root, { recursive: true });
});

/** What the rule says for these files, in this order. */
function expected(...files: string[]): string {
  const total = createHash('sha256');
  for (const file of files) {
    total.update(
      createHash('sha256')
        .update(readFileSync(join(root, file)))
        .digest(),
    );
  }
  return files.length === 0 ? '' : total.digest('hex');
}

test('patterns choose files in the order of their search paths and names', () => {
  const locks = ['.hidden/d.lock', 'a.lock', 'link.lock', 'src/a.lock', 'src/b.lock'];
  const cases: [string[], string[]][] = [
    [['a.lock'], ['a.lock']],
    [['*.lock'], ['a.lock', 'link.lock']],
    [['**/*.lock'], [...locks, 'src/deep/er/c.lock', 'é/a.lock']],
    [
      ['**/*.lock', '!src/**'],
      ['.hidden/d.lock', 'a.lock', 'link.lock', 'é/a.lock'],
    ],
    [['**/*.lock', '!src/**', '!é', 'src/a.lock'], locks.slice(0, 4)],
    [
      ['src/deep', 'b.txt', 'a.lock'],
      ['src/deep/er/c.lock', 'b.txt', 'a.lock'],
    ],
    [['src/**/c.lock'], ['src/deep/er/c.lock']],
    [['./b.???'], ['b.txt']],
    [['[ab].*'], ['a.lock', 'b.txt']],
    [['# no\n\n  b.txt '], ['b.txt']],
    [['linked/er/c.lock'], ['linked/er/c.lock']],
    [['b.txt/'], []],
    [
      ['src/[[]x].txt', 'back\\\\slash\\*.txt'],
      ['src/[x].txt', 'back\\slash*.txt'],
    ],
    [['!!b.txt'], ['b.txt']],
    [['~/deep'], ['src/deep/er/c.lock']],
  ];
  for (const [patterns, files] of cases) {
    assert.equal(hashFiles(root, patterns), expected(...files), patterns.join(' '));
  }
  assert.equal(hashFiles(root, [join(root, 'b.txt')]), expected('b.txt'));
});

test('links to directories are followed on demand, and their circles end', () => {
  assert.equal(hashFiles(root, ['linked']), '');
  const follow = '--Follow-Symbolic-Links';
  assert.equal(hashFiles(root, [follow, 'linked']), expected('linked/er/c.lock'));
  assert.equal(hashFiles(root, [follow, 'src/up']), hashFiles(root, [follow, '*']));
});

test('nothing found, or nothing of the workspace asked for, is empty text', () => {
  for (const pattern of ['*.nope', 'nope/a', '/etc/hostname', '/etc', '~x', '!a.lock', '', '#']) {
    assert.equal(hashFiles(root, [pattern]), '', pattern);
  }
});

test('what is no pattern, and what cannot be hashed, is said', () => {
  const cases: [string[], RegExp][] = [
    [['../x'], /Invalid pattern '\.\.\/x'\. Relative pathing '\.' and '\.\.' is not allowed\./],
    [['a/./b'], /Relative pathing/],
    [['!'], /pattern cannot be empty/],
    [['--x', 'a'], /Invalid glob option --x, available option: '--follow-symbolic-links'\./],
    [['b.txt/a'], /ENOTDIR/],
  ];
  for (const [patterns, message] of cases) assert.throws(() => hashFiles(root, patterns), message);
  symlinkSync('/dev/zero', join(root, 'zero'));
  assert.throws(() => hashFiles(root, ['zero']), GuestError);
  rmSync(join(root, 'zero'));
});

/** The runner's own script, by its text. */
async function githubs(patterns: string[], followSymbolicLinks: boolean): Promise<string> {
  const files: string[] = [];
  const globber = await create(patterns.join('\n'), { followSymbolicLinks });
  for await (const file of globber.globGenerator()) {
    const isOfWorkspace = file.startsWith(`${root}/`);
    if (isOfWorkspace && !statSync(file).isDirectory()) files.push(file.slice(root.length + 1));
  }
  return expected(...files);
}

test('generated patterns hash what the glob package of GitHub finds, in its order', async () => {
  const names = ['a.lock', 'b.txt', 'src', 'deep', 'er', '.hidden', 'src.d', 'é', 'up', 'linked'];
  const wild = [
    '*',
    '**',
    '?????',
    '*.lock',
    's*',
    '[a-e].*',
    '[!a]*',
    '*[.d]',
    '.h*',
    '**k',
    '\\a*',
  ];
  const name = fc.oneof(fc.constantFrom(...names), fc.constantFrom(...wild));
  const pattern = fc
    .record({
      before: fc.constantFrom('', '', '', '', './', '!', 'ROOT/', '~/', ' ', '!!'),
      names: fc.array(name, { minLength: 1, maxLength: 3 }),
      between: fc.constantFrom('/', '/', '/', '//'),
      behind: fc.constantFrom('', '', '', '', '', '', '/', '/..', '/**'),
    })
    .map((one) => one.before.replace('ROOT', root) + one.names.join(one.between) + one.behind);
  let found = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(pattern, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (patterns, follow) => {
        const theirs = await githubs(patterns, follow).catch(() => 'an error');
        let ours = 'an error';
        try {
          ours = hashFiles(root, [...(follow ? ['--follow-symbolic-links'] : []), ...patterns]);
        } catch (error) {
          assert.ok(theirs === 'an error', `${patterns.join(' ')}: ${String(error)}`);
        }
        assert.equal(ours, theirs, `${patterns.join('\n')}\n${follow ? 'followed' : ''}`);
        if (ours !== '' && ours !== 'an error') found++;
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(found > 300, `only ${found} of 1500 found anything`);
});
