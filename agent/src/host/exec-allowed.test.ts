import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mayRunFrom } from './exec-allowed.ts';

const IN_NAMESPACE = ['--user', '--map-root-user', '--mount', '--propagation', 'private'];

function whyNoMounts(): string | undefined {
  try {
    execFileSync('unshare', [...IN_NAMESPACE, 'mount', '-t', 'tmpfs', 'none', '/mnt'], {
      stdio: 'ignore',
    });
    return undefined;
  } catch {
    return 'this host lets nobody mount in a namespace of their own';
  }
}

test('a file system without noexec runs programs, one with it does not, and nothing is left', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-exec-'));
  context.after(() => rmSync(directory, { recursive: true }));
  assert.equal(await mayRunFrom(directory), true);
  assert.deepEqual(readdirSync(directory), []);
  const whyNot = whyNoMounts();
  if (whyNot !== undefined) return context.skip(whyNot);
  const module = JSON.stringify(join(import.meta.dirname, 'exec-allowed.ts'));
  const ask = `const { mayRunFrom } = await import(${module});
    console.log(await mayRunFrom(process.argv[1]));`;
  const script = 'mount -t tmpfs -o noexec none "$1" && exec "$2" --input-type=module -e "$3" "$1"';
  const words = ['sh', '-c', script, 'sh', directory, process.execPath, ask];
  const said = execFileSync('unshare', [...IN_NAMESPACE, ...words], { encoding: 'utf8' });
  assert.equal(said.trim(), 'false');
});
