/** Which texts the guard takes for a target, and that each has one reading. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAuthority, printable } from './authority.ts';

test('a name comes out in lower case without its trailing dot', () => {
  assert.deepEqual(parseAuthority('Registry.Example.ORG.:443'), {
    kind: 'name',
    host: 'registry.example.org',
    port: 443,
  });
});

test('names that are in use are taken: underscores, inner hyphens, punycode, long ones', () => {
  const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(57)}.org`;
  assert.equal(long.length, 253);
  const names = ['_dmarc.example.org', 'r3---sn-4g5.example.com', 'xn--mnchen-3ya.de', '4.a', long];
  for (const name of names) {
    assert.deepEqual(parseAuthority(`${name}:1`), { kind: 'name', host: name, port: 1 });
  }
});

test('addresses come out in canonical form', () => {
  const canonical: Record<string, string> = {
    '127.0.0.1:80': '127.0.0.1',
    '127.0.0.1.:80': '127.0.0.1',
    '[::1]:80': '::1',
    '[0:0::0001]:80': '::1',
    '[2001:DB8:0:0:1::1]:80': '2001:db8::1:0:0:1',
    '[::FFFF:1.2.3.4]:80': '::ffff:102:304',
  };
  for (const [authority, host] of Object.entries(canonical)) {
    assert.deepEqual(parseAuthority(authority), { kind: 'address', host, port: 80 }, authority);
  }
});

test('IPv4 in forms that only some programs read is named as such, with what it would be', () => {
  const forms: Record<string, string> = {
    '2130706433': '127.0.0.1',
    '0x7f000001': '127.0.0.1',
    '0X7F.1': '127.0.0.1',
    '017700000001': '127.0.0.1',
    '127.1': '127.0.0.1',
    '127.0.1': '127.0.0.1',
    '0177.0.0.1': '127.0.0.1',
    '010.8.8.8': '8.8.8.8',
    '0xa9.254.0251.254.': '169.254.169.254',
    '0': '0.0.0.0',
  };
  for (const [host, address] of Object.entries(forms)) {
    const target = parseAuthority(`${host}:80`);
    assert.equal(target.kind, 'unusual-address', host);
    assert.equal(target.kind === 'unusual-address' && target.address, address, host);
  }
});

test('what has no single reading is malformed', () => {
  const malformed = [
    '',
    ':',
    ':80',
    'a',
    'a:',
    'a:0',
    'a:080',
    'a:65536',
    'a:99999',
    'a:-1',
    'a:+1',
    'a:1e3',
    'a:80:80',
    '::1:80',
    '[::1]',
    '[::1:80',
    '::1]:80',
    '[]:80',
    '[[::1]]:80',
    '[v1.a]:80',
    '[fe80::1%eth0]:80',
    '[fe80::1%25eth0]:80',
    '[127.0.0.1]:80',
    '[localhost]:80',
    'user@a.org:80',
    'http://a.org:80',
    'a.org:80/',
    'a.org:80?',
    'a b:80',
    'a.org :80',
    '.:80',
    '..:80',
    '.a:80',
    'a..b:80',
    'a.b..:80',
    '1.2.3.4..:80',
    '*.a.org:80',
    'a,b:80',
    '127%2e0.0.1:80',
    '%31:80',
    'a\0.org:80',
    'a\n.org:80',
    'a.org:80\r\n',
    'a\u00ad.org:80',
    'm\u00fcnchen.de:80',
    '\uff11\uff12\uff17.0.0.1:80',
    '127\u30020\u30020\u30021:80',
    '\u2460.org:80',
    'loc\u212a.org:80',
    'xn--localhost-:80',
    'a.xn--:80',
    'xn--abc-.org:80',
    '256.0.0.1:80',
    '1.2.3.4.5:80',
    '1.2.3.08:80',
    'a.1:80',
    'a.0xff:80',
    '4294967296:80',
    `${'a'.repeat(64)}.org:80`,
    `${'a.'.repeat(126)}org:80`,
    `${'a'.repeat(100_000)}:80`,
  ];
  for (const authority of malformed) {
    assert.equal(parseAuthority(authority).kind, 'malformed', JSON.stringify(authority));
  }
});

test('any text gives one answer, fit for a header, and never a name that reads as an address', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.stringMatching(/^[0-9a-fx.:[\]%\-_]{0,40}:[0-9]{1,5}$/),
  );
  fc.assert(
    fc.property(text, (authority) => {
      const target = parseAuthority(authority);
      assert.match(target.host, /^[\x20-\x7e]*$/);
      assert.ok(target.host.length <= 253);
      if (target.kind !== 'name') return;
      const url = new URL(`http://${target.host}:${target.port}/`);
      assert.equal(url.hostname, target.host);
      assert.doesNotMatch(target.host, /^[0-9.]+$/);
    }),
    { numRuns: 5000 },
  );
});

test('printable escapes what is not plain text and cuts what is too long', () => {
  assert.equal(printable('a\r\nb', 100), 'a\\u000d\\u000ab');
  assert.equal(printable('\u00fc', 100), '\\u00fc');
  assert.equal(printable('x'.repeat(50), 10), 'xxxxxxx...');
  assert.ok(printable('\0'.repeat(50), 60).length <= 60);
});
