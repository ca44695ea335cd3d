import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import fc from 'fast-check';

import { SecretMasker } from './index.ts';

/** Signs that some encoding treats specially, among letters. */
const trickyCharacters = [...'aB9 \'"\\/+&<>?!$`~#%=:;,(){}[]|^*-_.@é€😀'];
const trickySecret = fc
  .array(fc.constantFrom(...trickyCharacters), { minLength: 2, maxLength: 30 })
  .map((characters) => `Sx${characters.join('')}7k`);

function masked(secret: string | Uint8Array, text: string): string {
  const masker = new SecretMasker();
  masker.add(secret);
  return masker.maskText(text);
}

function bash(script: string, locale: string, ...parameters: string[]): string {
  const run = spawnSync('bash', ['--norc', '-c', script, 'bash', ...parameters], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: locale },
  });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout + run.stderr;
}

const writers: [string, (secret: string) => string][] = [
  ['plain', (s) => s],
  ['encodeURIComponent', (s) => encodeURIComponent(s)],
  ['encodeURI', (s) => encodeURI(s)],
  [
    'encodeURIComponent in lower case hex',
    (s) => encodeURIComponent(s).replace(/%../g, (code) => code.toLowerCase()),
  ],
  ['a form', (s) => new URLSearchParams({ '': s }).toString().slice(1)],
  ['JSON.stringify', (s) => JSON.stringify(s).slice(1, -1)],
  ['JSON in JSON.stringify of an object', (s) => /:"(.*)"}$/s.exec(JSON.stringify({ s }))![1]!],
  ['JSON with escaped slashes', (s) => JSON.stringify(s).slice(1, -1).replaceAll('/', '\\/')],
  [
    'JSON in ASCII',
    (s) =>
      JSON.stringify(s)
        .slice(1, -1)
        .replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`),
  ],
  ['JSON with \\u003c for <', (s) => unicodeEscape(JSON.stringify(s).slice(1, -1), /[<>&]/g)],
  [
    'XML',
    (s) =>
      s
        .replaceAll('&', '&amp;')
        .replaceAll('<', '&lt;')
        .replaceAll('>', '&gt;')
        .replaceAll('"', '&quot;')
        .replaceAll("'", '&apos;'),
  ],
  ['XML text', (s) => s.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')],
  ['base64', (s) => Buffer.from(s).toString('base64')],
  ['base64url', (s) => Buffer.from(s).toString('base64url')],
  ['the text of a workflow command', commandText],
  [
    'a property of a workflow command',
    (s) => commandText(s).replaceAll(':', '%3A').replaceAll(',', '%2C'),
  ],
  ['a workflow expression string', (s) => s.replaceAll("'", "''")],
  ['double quotes', (s) => s.replace(/["\\$`]/g, '\\$&')],
  ['single quotes', (s) => s.replaceAll("'", "'\\''")],
];

function commandText(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function unicodeEscape(text: string, characters: RegExp): string {
  return text.replace(characters, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

for (const [name, write] of writers) {
  test(`a secret written as ${name} becomes three asterisks and nothing else`, () => {
    fc.assert(
      fc.property(trickySecret, (secret) => {
        assert.equal(masked(secret, `<<${write(secret)}>>`), '<<***>>');
      }),
      { numRuns: 300 },
    );
  });
}

test('base64 of a text around a secret shows no character that holds only bits of the secret', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 7 }),
      trickySecret,
      fc.string({ maxLength: 7 }),
      fc.constantFrom('base64' as const, 'base64url' as const),
      (before, secret, after, alphabet) => {
        const encoded = Buffer.from(before + secret + after).toString(alphabet);
        const from = Buffer.byteLength(before) * 8;
        const to = from + Buffer.byteLength(secret) * 8;
        const first = Math.ceil(from / 6);
        const last = Math.floor(to / 6);
        const output = masked(secret, encoded);
        const middle = encoded.slice(first, last);
        assert.ok(!output.includes(middle), `${output} shows ${middle}`);
        const outside = [encoded.slice(0, first), encoded.slice(last)];
        if (outside.some((part) => masked(secret, part).includes('***'))) return;
        // The character after the middle is masked where it could be the last of the text.
        const tails = after === '' ? [''] : [outside[1]!, outside[1]!.slice(1)];
        const expected = tails.map((tail) => `${outside[0]}***${tail}`);
        assert.ok(expected.includes(output), `${output} is none of ${expected.join(', ')}`);
      },
    ),
    { numRuns: 1000 },
  );
});

test('printf %q and set -x of a real bash show no secret, in both locales', () => {
  const secrets = fc.sample(trickySecret, { numRuns: 40, seed: 7 });
  secrets.push("it's $HOME `x`", 'tab\there', "a'\\b\n", '\x07\x1b[1m', 'a=~b:~c', "''''");
  for (const locale of ['C', 'C.UTF-8']) {
    for (const script of ['printf "%q\\n"', 'set -x; true', 'printf "%s\\n" "${@@Q}";:']) {
      for (const secret of secrets) {
        const full = script.includes('@@Q') ? script : `${script} "$@"`;
        const output = masked(secret, bash(full, locale, secret));
        const rest = output.replace('true', '').replace(/[\s'$\\+]/g, '');
        assert.equal(rest, '***', `${script} in ${locale} wrote ${output} for ${secret}`);
      }
    }
  }
});

test('each line of a multi-line secret is masked alone, trimmed, in all its forms', () => {
  const secret = 'first line\r\n\t second "line"\n\nlast one\n';
  assert.equal(masked(secret, 'x first line y'), 'x *** y');
  assert.equal(masked(secret, '[second "line"]'), '[***]');
  assert.equal(masked(secret, JSON.stringify('second "line"')), '"***"');
  assert.equal(masked(secret, Buffer.from('last one').toString('base64')), '***');
});

test('a multi-line secret is masked as a whole with \\n and with \\r\\n', () => {
  for (const secret of ['alpha1\nbeta22\ngamma3', 'alpha1\r\nbeta22\r\ngamma3']) {
    assert.equal(masked(secret, '<alpha1\nbeta22\ngamma3>'), '<***>');
    assert.equal(masked(secret, '<alpha1\r\nbeta22\r\ngamma3>'), '<***>');
    assert.equal(masked(secret, '<alpha1\\nbeta22\\ngamma3>'), '<***>');
    assert.equal(masked(secret, `<${encodeURIComponent('alpha1\r\nbeta22\r\ngamma3')}>`), '<***>');
  }
});

test('the shortest lines of a multi-line secret are masked alone too', () => {
  const secret = '{\n  "pin": 7,\nabc\n\n*\n}';
  assert.equal(masked(secret, 'f() { return abc; }'), 'f() *** return ***; ***');
  assert.equal(masked(secret, '["pin": 7,]'), '[***]');
  assert.equal(masked(secret, `<${secret}>`), '<***>');
});

test('white space around a secret does not matter', () => {
  assert.equal(masked(' token12\n', 'a token12, b'), 'a ***, b');
  assert.equal(masked(' token12\n', Buffer.from('token12').toString('base64')), '***');
  assert.equal(masked(' token12\n', Buffer.from(' token12\n').toString('base64')), '***');
});

test('a secret in double quotes is masked without them too', () => {
  assert.equal(masked('"quoted secret"', 'x quoted secret y'), 'x *** y');
});

test('a value of one byte is masked; blank values and asterisks are not', () => {
  assert.equal(masked('7', 'a7b77'), 'a***b***');
  for (const blank of ['', ' ', '\n\t ', '*', '***', ' * ', '**\n**\n']) {
    assert.equal(masked(blank, 'a * *** \n b **'), 'a * *** \n b **');
  }
});

test('a value that is not UTF-8 is masked plain and encoded', () => {
  const secret = Uint8Array.of(0xff, 0x00, 0xfe, 0x80, 0x27, 0xa0);
  const masker = new SecretMasker();
  masker.add(secret);
  const stream = masker.stream();
  const bytes = Buffer.concat([stream.push(Buffer.from([1, ...secret, 2])), stream.flush()]);
  assert.deepEqual([...bytes], [1, 42, 42, 42, 2]);
  assert.equal(masker.maskText('<%FF%00%FE%80%27%A0>'), '<***>');
  assert.equal(masker.maskText(Buffer.from(secret).toString('base64')), '***');
  assert.equal(masked(Uint8Array.of(0xa0), 'no-break\u00a0space').includes('***'), true);
});
