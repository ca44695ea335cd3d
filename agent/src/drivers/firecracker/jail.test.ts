/** The jailer's command line, word by word, and what is around it. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SandboxId } from '@onejob/protocol';
import { furnishJail, jailerWords, jailRoot, type JailedFirecracker } from './jail.ts';

const sandboxId = 'sb0123456789abcdef' as SandboxId;
const jail: JailedFirecracker = {
  jailerPath: '/usr/local/bin/jailer',
  firecrackerPath: '/opt/firecracker-v1.10.1-x86_64',
  cgroupVersion: 2,
  sandboxId,
  baseDirectory: '/state/jail',
  user: 2_000_000_007,
  files: [],
  networkNamespace: undefined,
  largestFileBytes: 4096,
};

test('the jailer is told who, where and how much, and to make no group', () => {
  assert.deepEqual(jailerWords(jail), [
    ...['/usr/local/bin/jailer', '--id', sandboxId],
    ...['--exec-file', '/opt/firecracker-v1.10.1-x86_64'],
    ...['--uid', '2000000007', '--gid', '2000000007', '--chroot-base-dir', '/state/jail'],
    ...['--cgroup-version', '2'],
    ...['--resource-limit', 'fsize=4096', '--resource-limit', 'no-file=1024'],
  ]);
  const words = jailerWords({ ...jail, cgroupVersion: 1, networkNamespace: '/run/netns/own' });
  assert.equal(words[words.indexOf('--cgroup-version') + 1], '1');
  assert.equal(words[words.indexOf('--netns') + 1], '/run/netns/own');
  assert.equal(
    jailRoot(jail),
    `/state/jail/firecracker-v1.10.1-x86_64/${sandboxId}/root`,
    'as docs/jailer.md has it',
  );
});

test('namespaces are around it, one of them of networks only where the jailer joins none', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('files of another user take root');
  const directory = mkdtempSync(join(tmpdir(), 'onejob-fc-jail-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const source = join(directory, 'kernel');
  writeFileSync(source, '', { mode: 0o644 });
  const files = [{ source, target: '/image/kernel', access: 'read' }] as const;
  const own = { ...jail, baseDirectory: join(directory, 'jail'), files };
  const words = await furnishJail(own, ['--api-sock', '/api.sock']);
  const unshare = words.slice(0, words.indexOf('--'));
  for (const flag of ['--pid', '--mount', '--kill-child=KILL', '--net']) {
    assert.ok(unshare.includes(flag), flag);
  }
  const bound = words.slice(words.indexOf('sh') + 1, words.lastIndexOf(jail.jailerPath));
  const root = jailRoot(own);
  assert.deepEqual(bound, [root, 'ro,nosuid,nodev,noexec', source, '/image/kernel', '--']);
  assert.deepEqual(words.slice(-3), ['--', '--api-sock', '/api.sock']);
  const { mode, uid } = statSync(root);
  assert.deepEqual([mode & 0o777, uid], [0o700, jail.user]);

  const joined = { ...own, networkNamespace: '/run/netns/own' };
  assert.ok(!(await furnishJail(joined, [])).includes('--net'));
  chmodSync(source, 0o600);
  await assert.rejects(furnishJail(own, []), {
    message: /kernel is not readable by the user.*chmod/,
  });
});
