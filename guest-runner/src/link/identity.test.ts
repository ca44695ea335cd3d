import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import type { HostHello } from '@onejob/protocol';
import { takeIdentity } from './identity.ts';

const HELLO: HostHello = {
  sandboxId: 'sb0123456789abcdef',
  hostname: 'box',
  machineId: 'ab'.repeat(16),
  entropy: 'cd'.repeat(64),
  clockUnixMs: 1_790_000_000_000,
  network: 'link',
  steered: false,
  actions: { builtin: 'fallback', mirrored: false, serverUrl: '' },
};

/** An init that answers each command with `answer`. */
async function withInit(answer: (command: string) => string): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-init-'));
  const commands: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString().trim().split('\n')) {
        commands.push(line);
        socket.write(`${answer(line)}\n`);
      }
    });
  }).listen(join(directory, 's'));
  await once(server, 'listening');
  const init = connect(join(directory, 's'));
  try {
    await takeIdentity(HELLO, init);
  } finally {
    init.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  }
  return commands;
}

test('init gets entropy first, then clock and names', async () => {
  assert.deepEqual(await withInit(() => 'ok'), [
    `entropy ${HELLO.entropy}`,
    'clock 1790000000000',
    'hostname box',
    `machine-id ${HELLO.machineId}`,
  ]);
});

test('a command that init cannot do ends the start, by name', async () => {
  await assert.rejects(
    withInit((command) => (command.startsWith('clock') ? 'error EPERM' : 'ok')),
    /'clock' was answered 'error EPERM'/,
  );
});
