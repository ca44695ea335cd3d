/** What jobs do in containers of the driver docker, and what they leave there. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { whyNoEngine } from '@onejob/testing/container-engine';
import { openDockerLab } from './_docker-lab.ts';
import { UNPROXIED } from './_unproxied.ts';

const run = promisify(execFile);
const whyNot = whyNoEngine();

if (whyNot !== undefined) test('jobs in containers', { skip: whyNot }, () => {});
else await testJobs();

async function testJobs(): Promise<void> {
  const docker = await openDockerLab();

  test('packages can be installed, files given away and users changed', async () => {
    const script = [
      'set -e; mkdir -p /work/p/DEBIAN /work/p/opt/p && cd /work',
      'printf "Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n" > p/DEBIAN/control',
      'touch p/opt/p/file && chown -R nobody:games p/opt/p && chmod 2775 p/opt/p',
      'dpkg-deb --build p p.deb >/dev/null',
      'apt-get install -y ./p.deb >/dev/null 2>&1 || { apt-get install -y ./p.deb; exit 1; }',
      'stat -c "installed %U:%G %a" /opt/p',
      'setpriv --reuid=nobody --regid=nogroup --clear-groups id -un',
      'mkdir n && cd n && npm init -y >/dev/null && npm pack --silent',
    ].join('\n');
    const log = await docker.run(script);
    assert.match(log, /^installed nobody:games 2775$/m);
    assert.match(log, /^nobody$/m);
    assert.match(log, /^n-1\.0\.0\.tgz$/m);
  });

  test('a cache of the host is there to read, not to write', async (context) => {
    const shared = await mkdtemp('/var/tmp/onejob-cache-');
    context.after(async () => await rm(shared, { recursive: true }));
    const caches = [{ source: shared, target: '/cache/shared' }];
    const script =
      'test -d /cache/shared && echo there; touch /cache/shared/x 2>/dev/null && echo wrote; true';
    const log = await docker.run(script, { caches });
    assert.match(log, /^there$/m);
    assert.doesNotMatch(log, /wrote/);
  });

  test('where the host cannot steer, a program that knows no proxy reaches nothing, and hears so at once', async () => {
    const hide = 'mount --bind /dev/null /usr/sbin/nft; exec "$@"';
    const program = join(import.meta.dirname, '_unsteered-container.ts');
    const { stdout: log } = await run('unshare', [
      ...['--mount', '--', 'sh', '-e', '-c', hide, 'sh', process.execPath],
      ...[program, docker.own.socketPath, UNPROXIED],
    ]);
    assert.match(log, /, for programs that know a proxy only: .*nft/m);
    for (const line of ['name 6', 'address 7', 'unknown 6', 'IPv6 7'])
      assert.ok(log.includes(`\n${line}\n`), log);
    assert.match(log, /^it took [0-3] s$/m);
  });

  test('what is mounted in a cache is not shared with it', async (context) => {
    const shared = await mkdtemp('/var/tmp/onejob-cache-');
    context.after(async () => await rm(shared, { recursive: true }));
    await mkdir(join(shared, 'inner'));
    execFileSync('mount', ['--bind', '/etc', join(shared, 'inner')]);
    try {
      const caches = [{ source: shared, target: '/cache/shared' }];
      await assert.rejects(docker.run('true', { caches }), /\[source-mounts\] .*inner is a mount/);
    } finally {
      execFileSync('umount', [join(shared, 'inner')]);
    }
  });

  test('what one job wrote is not there for the next', async () => {
    await docker.run('touch /marker /usr/marker /work/marker');
    const log = await docker.run('find / -xdev -name marker; echo end');
    assert.equal(log.trim(), 'end');
  });
}
