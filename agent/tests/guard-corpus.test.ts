/**
 * The guard against a corpus of hostile targets, through real sockets in network namespaces. Each
 * target has its control: the same probe reaches its listener through a proxy that does not judge.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PUBLIC_TARGETS, type Findings } from './_hostile-network.ts';
import { readHostileTargets } from './_hostile-targets.ts';

const TARGETS_AT_LEAST = 200;

/** One text for each IPv6 address, by the URL standard: no code of the guard takes part. */
function canonical(line: string): string {
  return line.replace(/[0-9a-f:.]*:[0-9a-f:.]*/, (text) => new URL(`http://[${text}]/`).hostname);
}

test('no hostile target is reached through the guard, and each is reached without it', (t) => {
  const allowed = spawnSync('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up']);
  if (process.getuid?.() !== 0 || allowed.status !== 0) {
    return t.skip('network namespaces need root and iproute2');
  }
  const program = join(import.meta.dirname, '_hostile-network.ts');
  using directory = mkdtempDisposableSync(join(tmpdir(), 'guard-corpus-'));
  const network = spawnSync('unshare', ['--net', '--mount', process.execPath, program], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: directory.path },
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 16 * 1024 * 1024,
    timeout: 150_000,
    killSignal: 'SIGKILL',
  });
  assert.equal(network.status, 0);
  const findings = JSON.parse(network.stdout) as Findings;
  const targets = readHostileTargets();
  assert.ok(targets.length >= TARGETS_AT_LEAST);
  assert.equal(new Set(targets.map(({ target }) => target)).size, targets.length);

  const expected = targets.map(({ target, rule }) => {
    return `${target} ${rule === 'malformed-authority' ? 400 : 403} ${rule}`;
  });
  const found = findings.guarded.map(({ target, status, rule }) => `${target} ${status} ${rule}`);
  assert.deepEqual(found, expected);
  assert.equal(findings.arrived, 0, 'connections through the guard to hostile targets');
  for (const { target, reason } of targets) assert.ok(reason.length > 0, target);
  for (const { target, reason } of findings.guarded) assert.match(reason, /^onejob /, target);

  const withoutControl = targets
    .filter(({ target, reaches }) => {
      const reached = findings.plain[target] ?? [];
      return !reached.map(canonical).includes(canonical(`reached ${reaches}`));
    })
    .map(({ target }) => `${target}: ${findings.plain[target]?.join()}`);
  assert.deepEqual(withoutControl, [], 'targets whose probe does not work without the guard');

  // The guard refuses what is hostile, not everything.
  for (const target of PUBLIC_TARGETS) {
    assert.match(findings.open[target] ?? '', /^reached [0-9a-f:.]+\n$/, target);
  }
});
