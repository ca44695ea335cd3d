import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CliError } from '../errors.ts';
import { parseSecrets } from './secret-file.ts';

test('values are taken as shells and dotenv files write them', () => {
  const text = [
    '\uFEFF# mine',
    'A=1',
    ' export B = two words  # said aloud',
    'C=pass#word=1',
    'D="one\\ntwo"',
    "E='as # it\\n is' # fine",
    'F=`both \' and "`',
    'G=',
    'H="-----BEGIN KEY-----',
    'line # two',
    '',
    '-----END KEY-----"',
    '',
    'my-name=x\r',
  ].join('\n');
  assert.deepEqual(parseSecrets('f', text), {
    A: '1',
    B: 'two words',
    C: 'pass#word=1',
    D: 'one\ntwo',
    E: 'as # it\\n is',
    F: 'both \' and "',
    G: '',
    H: '-----BEGIN KEY-----\nline # two\n\n-----END KEY-----',
    'my-name': 'x',
  });
});

test('what is no line of secrets is refused with its number, and never repeated', () => {
  const wrong: [string, RegExp][] = [
    ['A=1\n{"TOKEN": "s3cr3t"}\n', /^--secret-file f:2: this line is no NAME=value/],
    ['TOKEN: s3cr3t', /f:1: /],
    ['KEY=-----BEGIN\ns3cr3t\n-----END\n', /f:2: .*double quotes/],
    ['1A=s3cr3t', /f:1: .*does not begin with a digit/],
    ['a.b=s3cr3t', /f:1: /],
    ['=s3cr3t', /f:1: /],
    ['\0\x01s3cr3t', /f:1: /],
    ['\nA="s3cr3t\nB=2\n', /f:2: the value of A begins with " and has no other one/],
    ["A='s3cr3t' s3cr3t", /f:1: the value of A goes on after its closing '/],
  ];
  for (const [text, words] of wrong) {
    assert.throws(
      () => parseSecrets('f', text),
      (error: CliError) => {
        assert.equal(error.exitCode, 3);
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /s3cr3t/);
        return true;
      },
    );
  }
});
