/**
 * Patterns: GitHub's cheat sheet, a backtracking model, the globs of Node where they mean the same, and
 * patterns made to be slow.
 */
import assert from 'node:assert/strict';
import { matchesGlob } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesPattern } from './glob.ts';

test('the cheat sheet of the documentation holds', () => {
  const cases: [string, string[], string[]][] = [
    ['feature/*', ['feature/my-branch', 'feature/your-branch'], ['feature/a/b', 'feature']],
    ['feature/**', ['feature/beta-a/my-branch', 'feature/mona/the/octocat'], ['features/a']],
    ['main', ['main'], ['main2', 'Main', 'a/main']],
    ['*', ['main', 'releases'], ['all/the/branches']],
    ['**', ['all/the/branches', 'every/tag', ''], []],
    ['*feature', ['mona-feature', 'feature', 'ver-10-feature'], ['feature2']],
    ['v2*', ['v2', 'v2.0', 'v2.9'], ['v1', 'v2/a']],
    ['v[12].[0-9]+.[0-9]+', ['v1.10.1', 'v2.0.0'], ['v3.0.0', 'v1.0', 'v1.a.0']],
    ['*.jsx?', ['page.js', 'page.jsx'], ['page.jsxx', 'a/page.js']],
    ['**.js', ['index.js', 'js/index.js', 'src/js/app.js'], ['index.ts']],
    ['docs/*', ['docs/README.md', 'docs/file.txt'], ['docs/a/b']],
    ['docs/**/*.md', ['docs/README.md', 'docs/mona/hello.md', 'docs/a/b/c.md'], ['a/docs/x.md']],
    [
      '**/docs/**',
      ['docs/hello.md', 'dir/docs/my-file.txt', 'space/docs/plan/space.doc'],
      ['docs'],
    ],
    ['**/README.md', ['README.md', 'js/README.md'], ['xREADME.md', 'README.mdx']],
    ['**/*src/**', ['a/src/app.js', 'my-src/code/js/app.js'], ['src']],
    ['**/*-post.md', ['my-post.md', 'path/their-post.md'], ['my-post.markdown']],
    ['**/migrate-*.sql', ['migrate-10909.sql', 'db/sept/migrate-v1.sql'], ['migrate.sql']],
    ['foo**/bar', ['foo/bar', 'foox/bar', 'foo/a/bar', 'foo//bar'], ['foobar', 'fobar', 'foo/b']],
    ['a/**/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['ab', 'a/xb']],
    ['a/b**/c', ['a/b/c', 'a/bx/y/c'], ['a/bc', 'a/c']],
    ['\\/**/a', ['/a', '/x/a'], ['a']],
    ['a?b', ['ab', 'b'], ['aab', 'xb']],
    ['\\*\\?', ['*?'], ['a?', '*']],
    ['[a-c]x', ['ax', 'bx'], ['dx', 'x', '-x']],
    ['+x', ['+x'], ['x', 'xx']],
    ['[', ['['], ['']],
    ['a\\', ['a\\'], ['a']],
    ['é?😀+', ['é😀', '😀😀'], ['é']],
  ];
  for (const [pattern, yes, no] of cases) {
    for (const text of yes) assert.equal(matchesPattern(pattern, text), true, `${pattern} ${text}`);
    for (const text of no) assert.equal(matchesPattern(pattern, text), false, `${pattern} ${text}`);
  }
});

type Part =
  | { kind: 'one'; text: string; accepts: string; quantifier: '' | '?' | '+' }
  /** `**` and a slash: behind the start or a slash, where it may be nothing, or elsewhere. */
  | { kind: 'star' | 'stars' | 'directories' | 'rest' };

/** By the book: every part tries every length. */
function model(parts: Part[], text: string): boolean {
  const [part, ...rest] = parts;
  if (part === undefined) return text === '';
  const lengths = Array.from({ length: text.length + 1 }, (_, i) => i);
  const some = (fits: (head: string) => boolean) =>
    lengths.some((n) => fits(text.slice(0, n)) && model(rest, text.slice(n)));
  switch (part.kind) {
    case 'star':
      return some((head) => !head.includes('/'));
    case 'stars':
      return some(() => true);
    case 'directories':
      return some((head) => head === '' || (head.length > 1 && head.endsWith('/')));
    case 'rest':
      return some((head) => head.endsWith('/'));
    case 'one': {
      const least = part.quantifier === '?' ? 0 : 1;
      const most = part.quantifier === '+' ? Infinity : 1;
      return some(
        (head) =>
          head.length >= least &&
          head.length <= most &&
          Array.from(head).every((character) => part.accepts.includes(character)),
      );
    }
  }
}

const WRITTEN = { star: '*', stars: '**', directories: '**/', rest: '**/' };
const write = (part: Part): string =>
  part.kind === 'one' ? part.text + part.quantifier : WRITTEN[part.kind];

const one = fc
  .record({
    of: fc.constantFrom(
      ['a', 'a'],
      ['b', 'b'],
      ['/', '/'],
      ['\\*', '*'],
      ['[ab]', 'ab'],
      ['[a-b.]', 'ab.'],
    ),
    quantifier: fc.constantFrom('' as const, '?' as const, '+' as const),
  })
  .map(({ of, quantifier }): Part => ({
    kind: 'one',
    text: of[0] ?? '',
    accepts: of[1] ?? '',
    quantifier,
  }));
const wild = fc
  .constantFrom('star' as const, 'stars' as const, 'directories' as const)
  .map((kind): Part => ({ kind }));
/** A directory begins at the start, behind a plain slash, and behind the slash of `**` + `/`. */
const placed = (parts: Part[]): Part[] =>
  parts.map((part, i) => {
    const before = parts[i - 1];
    if (part.kind !== 'directories' || before === undefined) return part;
    const isSlash = before.kind === 'one' && before.text === '/' && before.quantifier === '';
    return isSlash || before.kind === 'directories' ? part : { kind: 'rest' };
  });
/** Stars beside stars, and `**` before a slash, would be written as something else. */
const clear = (parts: Part[]): boolean =>
  parts.every((part, i) => {
    const next = parts[i + 1];
    const isClear = part.kind === 'one' || part.kind === 'directories' || part.kind === 'rest';
    if (isClear || next === undefined) return true;
    return next.kind === 'one' && !next.text.startsWith('/');
  });

test('generated patterns match what a backtracking model matches', () => {
  const parts = fc
    .array(fc.oneof({ weight: 3, arbitrary: one }, wild), { maxLength: 6 })
    .map(placed)
    .filter(clear);
  const texts = fc
    .array(fc.constantFrom('a', 'b', '/', '*', '.'), { maxLength: 7 })
    .map((c) => c.join(''));
  let matched = 0;
  fc.assert(
    fc.property(parts, texts, (pattern, text) => {
      const written = pattern.map(write).join('');
      const expected = model(pattern, text);
      assert.equal(matchesPattern(written, text), expected, `${written} on ${text}`);
      if (expected) matched++;
    }),
    { numRuns: 5000 },
  );
  assert.ok(matched > 250, `only ${matched} of 5000 matched`);
});

test('where the globs of Node mean the same, the same paths match', () => {
  const name = fc.constantFrom('a', 'b', '*', 'a*', '*b', 'a*b', '**');
  const patterns = fc
    .array(name, { minLength: 1, maxLength: 5 })
    // There `x/**` is x too, and nothing is between two `**`.
    .filter(
      (names) =>
        names.at(-1) !== '**' && !names.some((it, i) => it === '**' && names[i + 1] === '**'),
    )
    .map((names) => names.join('/'));
  const paths = fc
    .array(fc.constantFrom('a', 'b', 'ab', 'ba', 'axb'), { minLength: 1, maxLength: 5 })
    .map((names) => names.join('/'));
  let matched = 0;
  fc.assert(
    fc.property(patterns, paths, (pattern, path) => {
      const expected = matchesGlob(path, pattern);
      assert.equal(matchesPattern(pattern, path), expected, `${pattern} on ${path}`);
      if (expected) matched++;
    }),
    { numRuns: 5000 },
  );
  assert.ok(matched > 200, `only ${matched} of 5000 matched`);
});

/** The cheat sheet as a regular expression: another road than the machine of glob.ts. */
function toRegularExpression(pattern: string): RegExp {
  const rules: [RegExp, (match: RegExpExecArray) => string][] = [
    [/(?<=^|\/)\*\*\//y, () => '(?:.+/)?'],
    [/\*\*/y, () => '.*'],
    [/\*/y, () => '[^/]*'],
    [/\[([a-z.-]+)\]/y, ([, members]) => `[${members}]`],
    [/\\(.)/y, ([, sign = '']) => RegExp.escape(sign)],
    [/[?+]/y, ([quantifier]) => quantifier],
    [/[^]/y, ([character]) => RegExp.escape(character)],
  ];
  let source = '';
  for (let at = 0; at < pattern.length;) {
    for (const [rule, translate] of rules) {
      rule.lastIndex = at;
      const match = rule.exec(pattern);
      if (match === null) continue;
      source += translate(match);
      at = rule.lastIndex;
      break;
    }
  }
  return new RegExp(`^(?:${source})$`, 's');
}

test('written patterns match what their regular expression matches', () => {
  const character = fc.constantFrom('a', 'b', '/', '.', '-', '[ab]', '[a-b.]', '\\*', '\\?', '\\[');
  const quantified = fc
    .tuple(character, fc.constantFrom('', '', '?', '+'))
    .map((two) => two.join(''));
  const star = fc.constantFrom('*', '**', '**/');
  // A quantifier belongs to a character, and no third star may follow two.
  const patterns = fc
    .array(fc.tuple(fc.option(star, { nil: '' }), quantified), { minLength: 1, maxLength: 5 })
    .map((pairs) => pairs.flat().join(''))
    .filter((pattern) => !/\*\/[?+]/.test(pattern));
  const texts = fc
    .array(fc.constantFrom('a', 'b', '/', '.', '-', '*', '?', '['), { maxLength: 8 })
    .map((characters) => characters.join(''));
  let matched = 0;
  fc.assert(
    fc.property(patterns, texts, (pattern, text) => {
      const expected = toRegularExpression(pattern).test(text);
      assert.equal(matchesPattern(pattern, text), expected, `${pattern} on ${text}`);
      if (expected) matched++;
    }),
    { numRuns: 20_000 },
  );
  assert.ok(matched > 400, `only ${matched} of 20000 matched`);
});

test('a pattern that would explode a backtracking matcher ends', { timeout: 60_000 }, () => {
  assert.equal(matchesPattern('**a'.repeat(100) + 'b', 'a'.repeat(2000)), false);
  assert.equal(matchesPattern('a+'.repeat(200) + '[', 'a'.repeat(2000)), false);
  assert.equal(matchesPattern('**/'.repeat(200) + 'x', 'a/'.repeat(1000)), false);
});
