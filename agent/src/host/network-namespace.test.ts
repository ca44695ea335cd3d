import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { openNetworkNamespace } from './network-namespace.ts';
import { HOST_VARIABLE, SANDBOX_VARIABLE } from './processes.ts';

const hostMarker = `test-namespace-${process.pid}`;

/** A process of the sandbox, in a network namespace of its own or not. */
async function startProcess(sandboxId: string, isApart = false) {
  const waiting = ['sh', '-c', 'echo ready; read line'];
  const args = isApart ? ['--net', ...waiting] : waiting;
  const env = { ...process.env, [HOST_VARIABLE]: hostMarker, [SANDBOX_VARIABLE]: sandboxId };
  const child = spawn(isApart ? 'unshare' : 'env', args, {
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const exited = once(child, 'exit');
  const isReady = await Promise.race([once(child.stdout, 'data'), exited.then(() => undefined)]);
  return {
    pid: child.pid,
    isReady: isReady !== undefined,
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await exited;
    },
  };
}

test("a sandbox's network namespace is that of its processes, and never the agent's own", async (context) => {
  const sandbox = { hostMarker, sandboxId: newSandboxId() };
  await using _helper = await startProcess(sandbox.sandboxId);
  await assert.rejects(openNetworkNamespace(sandbox), {
    code: 'network_failed',
    message: /none of its processes is on this host/,
  });
  await using other = await startProcess(newSandboxId(), true);
  if (!other.isReady) return context.skip('this host makes no network namespaces for us');
  await assert.rejects(openNetworkNamespace(sandbox), { code: 'network_failed' });
  await using own = await startProcess(sandbox.sandboxId, true);
  const namespace = `/proc/${own.pid}/ns/net`;
  await using found = await openNetworkNamespace(sandbox);
  const path = `/proc/self/fd/${found.fd}`;
  assert.equal(readlinkSync(path), readlinkSync(namespace));
});
