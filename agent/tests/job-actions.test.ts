/** Actions of a job that runs in a real agent: what it is given, and who is to blame when it is not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GitForge } from '@onejob/testing';
import { GREET } from './_actions-lab.ts';
import { AgentLab } from './_agent-lab.ts';
import { checkLeaksAfterEach } from './_leaks.ts';

checkLeaksAfterEach();

test('an action of a server is fetched in the name of its job, and there after a restart of the agent', async () => {
  await using forge = await GitForge.start();
  const sha = forge.repository('acme/greet').commit({ 'action.yml': 'one' });
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const actions = join(lab.root, 'state/actions');
  mkdirSync(join(actions, 'open', 'half'), { recursive: true });
  writeFileSync(join(actions, 'open', 'half', 'archive.tar'), 'cut o');
  const config = {
    actionsUrls: [forge.url],
    egress: { hazardousReachableLoopback: 'only-in-tests' },
  } as const;
  const agent = await lab.agent(config);
  assert.deepEqual(readdirSync(join(actions, 'open')), [], 'half an archive of an earlier agent');
  const first = lab.controlPlane.queue([
    ['action', { ...GREET, ref: 'main' }],
    ['finish', 'steps_completed'],
  ]);
  await lab.ended(first);
  assert.deepEqual(first.log, ['action 200']);
  assert.match(first.finished?.notes.join('\n') ?? '', /^Egress allowed: 127\.0\.0\.1:/m);
  await agent[Symbol.asyncDispose]();
  await forge.stop();
  await lab.agent(config);
  const second = lab.controlPlane.queue([
    ['action', { ...GREET, ref: sha }],
    ['finish', 'steps_completed'],
  ]);
  await lab.ended(second);
  assert.deepEqual(second.log, ['action 200']);
  assert.deepEqual(second.finished?.notes, []);
  assert.deepEqual(lab.warnings, []);
});

test('a host that cannot give an action it has is to blame for the end of the job', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const mirror = join(lab.root, 'mirrors', 'acme', 'greet.git');
  execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', mirror]);
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
      cwd: mirror,
      encoding: 'utf8',
    }).trim();
  const blob = git('hash-object', '-w', 'HEAD');
  git('update-index', '--add', '--cacheinfo', `100644,${blob},action.yml`);
  git('update-ref', 'refs/heads/main', git('commit-tree', git('write-tree'), '-m', 'x'));
  rmSync(join(mirror, 'objects', blob.slice(0, 2)), { recursive: true });
  await lab.agent({ actionMirrors: [join(lab.root, 'mirrors')], actionsUrls: [] });
  const job = lab.controlPlane.queue([
    ['action', { ...GREET, ref: 'main' }],
    ['finish', 'step_failed'],
  ]);
  const { message, reason } = await lab.ended(job);
  assert.deepEqual(job.log, ['action 500']);
  assert.equal(reason, 'platform_error');
  assert.match(message, /This is the platform’s failure.*because: step_failed/);
  assert.match(lab.warnings.join('\n'), /The mirror .*greet\.git .* cannot be read/);
});
