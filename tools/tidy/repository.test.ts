import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCodeMap, checkRegistryHosts } from './repository.ts';

test('a registry host is refused in any text', () => {
  const host = ['registry', 'npmjs', 'org'].join('.');
  const found = checkRegistryHosts({ path: 'docs/setup.md', text: `one\nsee https://${host}/x\n` });
  assert.deepEqual(
    found.map(({ line, subject }) => [line, subject]),
    [[2, host]],
  );
});

test('the lock file resolves nothing to an address, whatever the host', () => {
  const text =
    '"a": {\n  "resolved": "https://mirror.example/a.tgz",\n},\n"b": { "resolved": "agent" }';
  assert.equal(checkRegistryHosts({ path: 'package-lock.json', text }).length, 1);
  assert.equal(checkRegistryHosts({ path: 'docs/a.json', text }).length, 0);
});

test('the code map names every workspace, as a word of its own', () => {
  const text = '| `agent/` | the host |\n    cli/  the command line\n  agent-tests';
  const missing = checkCodeMap({ path: 'ARCHITECTURE.md', text }, [
    'agent',
    'cli',
    'tests',
    'image',
  ]);
  assert.deepEqual(
    missing.map(({ subject }) => subject),
    ['tests', 'image'],
  );
});
