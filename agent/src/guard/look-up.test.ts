/** Names that a sandbox asks for before it connects. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SandboxId } from '@onejob/protocol';
import type { EgressRecord } from './egress-record.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { readJobPolicy } from './job-policy.ts';

const ANSWERS: Record<string, string[]> = {
  'forge.example': ['93.184.215.14'],
  'registry.example': ['93.184.215.15'],
  'mixed.example': ['93.184.215.14', '10.0.0.1'],
};

function lookingUp(policy: string[], options: Partial<GuardOptions> = {}) {
  const records: EgressRecord[] = [];
  const asked: string[] = [];
  const guard = createGuard({
    records: (record) => void records.push(record),
    ownAddresses: () => [],
    resolver: {
      resolve: async (name) => {
        asked.push(name);
        if (name === 'broken.example') throw new Error('no resolver');
        const addresses = await Promise.resolve(ANSWERS[name]);
        return addresses === undefined ? { kind: 'nothing' } : { kind: 'addresses', addresses };
      },
    },
    ...options,
  });
  const jobPolicy = readJobPolicy(policy);
  const context = { sandboxId: 'sb0123456789abcdef' as SandboxId, policy: () => jobPolicy };
  const ask = async (name: string) => (await guard.lookUp(name, context)).kind;
  return { ask, asked, records };
}

test('a name is known, unknown, refused for what it is or leads to, or nobody can say', async () => {
  const { ask, asked, records } = lookingUp(['audit']);
  assert.equal(await ask('forge.example'), 'addresses');
  assert.equal(await ask('nobody.example'), 'nothing');
  assert.equal(await ask('broken.example'), 'failed');
  assert.equal(records.length, 0);
  assert.equal(await ask('mixed.example'), 'refused');
  asked.length = 0;
  assert.equal(await ask('metadata.google.internal'), 'refused');
  assert.equal(await ask('printer.local'), 'refused');
  assert.equal(await ask('a..b'), 'refused');
  assert.deepEqual(asked, []);
  const told = records.map(({ host, port, rule, verdict }) => [host, port, rule, verdict]);
  assert.deepEqual(told, [
    ['mixed.example', 0, 'private-address', 'refused'],
    ['metadata.google.internal', 0, 'local-name', 'refused'],
    ['printer.local', 0, 'local-name', 'refused'],
    ['a..b:443', 0, 'malformed-authority', 'refused'],
  ]);
  // What kind of address, and not which one: the host's resolver may know the inside.
  const said = 'onejob refuses mixed.example: it leads to a private address (RFC 1918).';
  assert.deepEqual([records[0]?.reason, records[0]?.address], [said, undefined]);
});

test('a name that no allow-list has is asked of nobody; one that it has for a port is', async () => {
  const { ask, asked } = lookingUp(['forge.example:9418 *.registry.example', 'audit']);
  assert.equal(await ask('forge.example'), 'addresses');
  for (const name of ['registry.example', 'secret-data.attacker.example', 'xforge.example']) {
    assert.equal(await ask(name), 'refused', name);
  }
  assert.deepEqual(asked, ['forge.example']);
  const none = lookingUp(['none', 'audit']);
  assert.equal(await none.ask('forge.example'), 'refused');
  assert.deepEqual(none.asked, []);
});

test('questions count towards the sandbox’s rate of connections', async () => {
  const limits = { newConnectionsPerSecond: 3 };
  const { ask, asked, records } = lookingUp(['audit'], { limits, nowMs: () => 0 });
  const kinds = [];
  for (let times = 0; times < 5; times += 1) kinds.push(await ask('forge.example'));
  assert.deepEqual(kinds, ['addresses', 'addresses', 'addresses', 'failed', 'failed']);
  assert.equal(asked.length, 3);
  assert.equal(records[0]?.rule, 'connection-rate');
});
