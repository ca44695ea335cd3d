/** Network mode `nat` as a user sees it: a job in a machine with an interface of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { MAIN } from './_command-line.ts';
import { checkListed, checkReached, openNetworkJobs } from './_network-jobs.ts';

const { line, directory, see } = await openNetworkJobs('qemu');

test('a job with a network of its own reaches the public by name, and nothing else', async (t) => {
  const seen = await see(t, 'nat');
  if (seen !== undefined) checkReached(seen);
});

test('a job with an allow-list has no way out but the proxy, whatever its interface', async (t) => {
  const seen = await see(t, 'listed');
  if (seen !== undefined) checkListed(seen);
});

test('a host that cannot give networks says why and what to do, and runs nothing', (t) => {
  // In a network of its own nothing is forwarded; and there it takes root to make another.
  const words = [process.execPath, MAIN, '--data-dir', line.data, 'run', '--network', 'nat'];
  const refused = spawnSync('unshare', ['--net', ...words], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (process.getuid?.() !== 0) return t.skip('a network of its own takes root');
  assert.equal(refused.status, 4, refused.stdout + refused.stderr);
  assert.match(
    refused.stderr,
    /Network mode nat does not work here: .*(apt-get install|sysctl -w)/,
  );
});
