/** A checkout by ssh: the real client, through the guard's tunnel, with the key of the step. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gitIn } from '@onejob/testing/git-backend';
import { Forge, Repository } from './_forge.ts';
import { runToEnd, type TestHost } from './_host.ts';
import { startSshServer } from './_ssh-server.ts';
import { checkout, run } from './_task.ts';

const forge = await new Forge().start();
const lib = forge.add('acme/lib', { 'lib.txt': 'l' }, 'nobody has this token');
const ssh = await startSshServer(forge.root);
forge.ports.set('forge.test:22', ssh.port);
after(async () => {
  await ssh[Symbol.asyncDispose]();
  await forge[Symbol.asyncDispose]();
});

const KEY = {
  'ssh-key': ssh.privateKey,
  'ssh-known-hosts': `forge.test ${ssh.hostKey}`,
};
const LIB = { ...KEY, repository: 'acme/lib' };

async function runWith(
  own: Repository,
  ...steps: Parameters<Repository['task']>[0]
): Promise<TestHost> {
  const bulk = forge.bulk(own);
  return await runToEnd({ task: own.task(steps), bulk, serverUrl: 'http://forge.test' });
}

test('a key of ssh fetches through the guard, serves later steps, and is gone at the end', async () => {
  using own = new Repository();
  await using host = await runWith(
    own,
    checkout({ ...LIB, path: 'kept' }),
    checkout({ ...LIB, path: 'not', 'persist-credentials': false }),
    run('git -C kept fetch -q origin main && echo fetched; stat -c "mode %a" "$RUNNER_TEMP"/*_key'),
    run('git -C not fetch -q origin main || echo refused; cat kept/lib.txt not/lib.txt'),
  );
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(2).slice(-2), ['fetched', 'mode 600']);
  assert.ok(host.lines(3).includes('refused'), host.text(3));
  assert.equal(host.lines(3).at(-1), 'll');
  const config = readFileSync(join(host.work, 'sample/sample/kept/.git/config'), 'utf8');
  assert.match(config, /url = git@forge\.test:acme\/lib\.git/);
  assert.doesNotMatch(config, /sshCommand/i);
  assert.deepEqual(
    readdirSync(join(host.work, '_temp')).filter((name) => name.startsWith('checkout_')),
    [],
  );
  const lines = ssh.privateKey.split('\n').filter((line) => line.length > 20);
  for (const line of lines.slice(1, -1)) assert.ok(!host.text().includes(line));
});

test('a server whose key is not known is not talked to, unless the step is not strict', async () => {
  using own = new Repository();
  const unknown = { ...LIB, 'ssh-known-hosts': '' };
  await using strict = await runWith(own, checkout(unknown));
  assert.equal(strict.finished.conclusion, 'failure');
  assert.match(strict.finished.message, /git@forge\.test:acme\/lib\.git could not be read: /);
  await using lax = await runWith(own, checkout({ ...unknown, 'ssh-strict': false }));
  assert.equal(lax.finished.conclusion, 'success', lax.text());
  const names = readdirSync(join(strict.work, '_temp'));
  assert.deepEqual(
    names.filter((name) => name.startsWith('checkout_')),
    [],
  );
});

test('submodules of the run’s own repository are fetched by ssh where there is a key', async () => {
  using own = new Repository({
    '.gitmodules':
      '[submodule "lib"]\n\tpath = lib\n\turl = ../../acme/lib.git\n' +
      '[submodule "again"]\n\tpath = again\n\turl = git@forge.test:acme/lib.git\n',
  });
  for (const name of ['lib', 'again']) {
    const sha = gitIn(lib, 'rev-parse', 'HEAD');
    own.git('update-index', '--add', '--cacheinfo', `160000,${sha},${name}`);
  }
  own.git('commit', '-q', '-m', 'link');
  own.sha = own.git('rev-parse', 'HEAD');
  await using host = await runWith(
    own,
    checkout({ ...KEY, submodules: true }),
    run('cat lib/lib.txt again/lib.txt; git -C lib fetch -q origin main && echo; echo fetched'),
  );
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(1).slice(-2), ['ll', 'fetched']);
});
