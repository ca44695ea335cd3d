import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareDebianVersions } from './debian-version.ts';

test('versions are in the order that Debian policy gives them', () => {
  const ascending = [
    '0~~',
    '0~~a',
    '0~',
    '0',
    '0a',
    '0+',
    '1.0~beta1~svn1245',
    '1.0~beta1',
    '1.0',
    '1.0-0',
    '1.0-0+b1',
    '1.0-1~deb12u1',
    '1.0-1',
    '1.0-1+deb12u1',
    '1.0-1.1',
    '1.0-2',
    '1.0-10',
    '1.0.1-1',
    '1.00002',
    '1.3',
    '1.10',
    '1:0.1',
    '1:0.1-1',
    '2:0',
  ];
  for (const [at, version] of ascending.entries()) {
    for (const [other, than] of ascending.entries()) {
      const isExpected = Math.sign(at - other) === Math.sign(compareDebianVersions(version, than));
      // 1.0 and 1.0-0 are the same to dpkg: no revision is revision 0
      const isSame = [version, than].every((one) => ['1.0', '1.0-0'].includes(one));
      assert.ok(
        isSame ? compareDebianVersions(version, than) === 0 : isExpected,
        `${version} ${than}`,
      );
    }
  }
});

test('a thousand pairs of versions come out as dpkg has them', (t) => {
  const part = fc.stringMatching(/^[0-9][0-9a-zA-Z.+~]{0,8}$/);
  const version = fc
    .tuple(fc.option(fc.nat(3)), part, fc.option(fc.stringMatching(/^[0-9a-z.+~]{1,6}$/)))
    .map(([epoch, upstream, revision]) =>
      [epoch === null ? '' : `${epoch}:`, upstream, revision === null ? '' : `-${revision}`].join(
        '',
      ),
    );
  const near = version.chain((one) => fc.tuple(fc.constant(one), fc.oneof(version, mutated(one))));
  const pairs = fc.sample(near, 1000);
  const script =
    'while read -r a b; do if dpkg --compare-versions "$a" lt "$b"; then echo -1; ' +
    'elif dpkg --compare-versions "$a" eq "$b"; then echo 0; else echo 1; fi; done';
  let answers: string;
  try {
    const input = `${pairs.map((pair) => pair.join(' ')).join('\n')}\n`;
    answers = execFileSync('sh', ['-c', script], {
      input,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  } catch {
    return t.skip('dpkg is not here');
  }
  const expected = answers.trim().split('\n').map(Number);
  assert.equal(expected.length, pairs.length);
  for (const [at, [a, b]] of pairs.entries()) {
    assert.equal(Math.sign(compareDebianVersions(a, b)), expected[at], `${a} ${b}`);
  }
  assert.ok(new Set(expected).size === 3, 'the pairs are of every order');
});

/** Another version that differs little, or not at all. */
const mutated = (version: string) =>
  fc.constantFrom(
    version,
    `${version}~`,
    `${version}0`,
    `${version}+b1`,
    version.replace(/\d/, '0$&'),
    `0:${version.replace(/^\d:/, '')}`,
  );
