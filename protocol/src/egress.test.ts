/** The notation of egress policies: what each text means, and that nothing else means anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type EgressPolicy, parseEgressPolicy } from './egress.ts';
import { EGRESS_POLICY_CHARACTERS, EGRESS_RULES } from './limits.ts';

const rulesOf = (text: string) => {
  const policy = parseEgressPolicy(text);
  assert.ok('mode' in policy && policy.mode === 'allow-list', JSON.stringify(policy));
  return policy.rules;
};
const problemOf = (text: string): string => {
  const policy = parseEgressPolicy(text);
  return 'problem' in policy ? policy.problem : '';
};

test('audit and none are one word each', () => {
  assert.deepEqual(parseEgressPolicy(' audit\n'), { mode: 'audit' });
  assert.deepEqual(parseEgressPolicy('none'), { mode: 'none' });
  assert.match(problemOf('none example.org'), /"none" stands alone/);
  assert.match(problemOf('example.org audit'), /"audit" stands alone/);
  assert.match(problemOf('audit none'), /stands alone/);
});

test('rules are names, names below one, and ranges, each with a port or without', () => {
  assert.deepEqual(rulesOf('Registry.Example.com. *.example.org:443\n\t*.org'), [
    { kind: 'name', host: 'registry.example.com', port: null },
    { kind: 'subdomains', host: 'example.org', port: 443 },
    { kind: 'subdomains', host: 'org', port: null },
  ]);
  assert.deepEqual(rulesOf('93.184.215.0/24 93.184.215.14:80 0.0.0.0/0:443'), [
    { kind: 'range', range: '93.184.215.0/24', port: null },
    { kind: 'range', range: '93.184.215.14/32', port: 80 },
    { kind: 'range', range: '0.0.0.0/0', port: 443 },
  ]);
  assert.deepEqual(rulesOf('2606:4700::/32 [2606:4700::1] [2606:4700::/32]:443 2606:4700::1'), [
    { kind: 'range', range: '2606:4700::/32', port: null },
    { kind: 'range', range: '2606:4700::1/128', port: null },
    { kind: 'range', range: '2606:4700::/32', port: 443 },
    { kind: 'range', range: '2606:4700::1/128', port: null },
  ]);
});

test('what is not exactly a rule is a problem that names it', () => {
  for (const word of [
    'None',
    'allow-list',
    '*',
    '*.',
    '*example.org',
    '*.*.example.org',
    'a.*.example.org',
    'example.org:',
    'example.org:0',
    'example.org:65536',
    'example.org:0443',
    'example.org:443:443',
    'example.org/24',
    'https://example.org',
    'user@example.org',
    'example..org',
    '.example.org',
    'example.org,example.com',
    'exa\u212aple.org',
    'b\u00fccher.example',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '0x7f.1',
    '*.1.2.3.4',
    '1.2.3.4/33',
    '1.2.3.4/08',
    '1.2.3.4/8/8',
    '[1.2.3.4]:80',
    '[example.org]:80',
    '2606:4700::/129',
    'fe80::1%eth0',
    '[2606:4700::/32:443',
    `${'a'.repeat(64)}.org`,
    `${'a.'.repeat(126)}ab`,
    '${{ vars.egress }}',
    '#comment',
  ]) {
    assert.ok(problemOf(`example.org ${word}`).includes(word.split(' ')[0]!.slice(0, 50)), word);
  }
  assert.match(problemOf(' \n'), /it is empty/);
});

test('length and number of rules are limited', () => {
  assert.equal(rulesOf('a.b '.repeat(EGRESS_RULES)).length, EGRESS_RULES);
  assert.match(problemOf('a.b '.repeat(EGRESS_RULES + 1)), /more than \d+ rules/);
  assert.match(problemOf(' '.repeat(EGRESS_POLICY_CHARACTERS + 1)), /characters/);
});

test('any text is a policy or a problem, and what it names is in it', () => {
  const words = fc.oneof(
    fc.string({ maxLength: 30 }),
    fc.stringMatching(/^[a-z0-9.:*/[\]-]{1,30}$/),
    fc.ipV4(),
    fc.ipV6(),
    fc.domain(),
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 5 }), (list) => {
      const text = list.join(' ');
      const policy: EgressPolicy | { problem: string } = parseEgressPolicy(text);
      if ('problem' in policy) return assert.ok(policy.problem.length > 0);
      if (policy.mode !== 'allow-list') return assert.equal(text.trim(), policy.mode);
      for (const rule of policy.rules) {
        const said = rule.kind === 'range' ? rule.range.split('/')[0]! : rule.host;
        assert.ok(text.toLowerCase().includes(said.toLowerCase()), text);
        assert.ok(rule.port === null || (rule.port >= 1 && rule.port <= 65_535));
      }
    }),
    { numRuns: 2000 },
  );
});
