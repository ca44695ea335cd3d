import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registryLines } from './npm-registry.ts';

const registry = { url: 'https://packages.example/npm', scope: '', alwaysAuth: '' };

test('the file names the registry, and where npm finds the token', () => {
  assert.equal(
    registryLines('', registry),
    '//packages.example/npm/:_authToken=${NODE_AUTH_TOKEN}\n' +
      'registry=https://packages.example/npm/\n',
  );
});

test('a scope gets its own registry, beside what the file had', () => {
  const before = 'registry=https://one.example/\n@acme:registry=https://old.example/\n';
  assert.equal(
    registryLines(before, { ...registry, scope: 'Acme', alwaysAuth: 'true' }),
    'registry=https://one.example/\n' +
      '//packages.example/npm/:_authToken=${NODE_AUTH_TOKEN}\n' +
      '@acme:registry=https://packages.example/npm/\n' +
      'always-auth=true\n',
  );
});

test('inputs that would be more than one line, or no address, are refused by name', () => {
  const wrong: [RegExp, Partial<typeof registry>][] = [
    [/registry-url/, { url: 'https://a.example/\nignore-scripts=false' }],
    [/registry-url/, { url: 'file:///etc' }],
    [/registry-url/, { url: 'nowhere' }],
    [/scope/, { scope: 'a\nb=c' }],
    [/scope/, { scope: '@a/b' }],
    [/always-auth/, { alwaysAuth: 'true\nx=y' }],
  ];
  for (const [why, more] of wrong) {
    assert.throws(() => registryLines('', { ...registry, ...more }), why, JSON.stringify(more));
  }
});
