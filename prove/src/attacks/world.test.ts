import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { underProc } from './world.ts';

const SCRIPT = underProc('[ -e /proc/self/stat ] && echo "with its own"; echo ran');

test("a look below a job's own /proc is a look at that too, where no mount can be taken away", () => {
  // As in a container, whose root has no right to mounts.
  const without = ['--bounding-set=-sys_admin', '--inh-caps=-all', 'sh', '-c', SCRIPT];
  const isRoot = process.getuid?.() === 0;
  const [command, args] = isRoot ? ['setpriv', without] : ['sh', ['-c', SCRIPT]];
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(stdout, 'with its own\nran\n');
  assert.match(stderr, /^processes in \/proc: [1-9]\d*\n$/);
});

test("where it can be, the script runs once more without the job's own /proc", (t) => {
  if (process.getuid?.() !== 0) return t.skip('mounts need root');
  const { stdout } = spawnSync('sh', ['-c', SCRIPT], { encoding: 'utf8' });
  assert.equal(stdout, 'with its own\nran\nran\n');
});
