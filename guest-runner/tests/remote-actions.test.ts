/** Actions that the host does not have: got by the real git through the guard's tunnel. */
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { after, test } from 'node:test';
import type { UsesStep } from '@onejob/protocol';
import { commit, Forge, git } from './_forge.ts';
import { runToEnd, type TestHost } from './_host.ts';
import { makeTask, run, uses } from './_task.ts';

const forge = await new Forge().start();
const repository = forge.add('acme/greet', {
  'action.yml': 'runs: { using: node24, main: m.js }\n',
  'm.js': "console.log('one');\n",
});
git(repository, 'tag', 'v1');
const sha = git(repository, 'rev-parse', 'HEAD');
commit(repository, 'two', { 'm.js': "console.log('two');\n" });
git(repository, 'branch', 'v1');
git(repository, 'tag', sha.toUpperCase());
after(async () => await forge[Symbol.asyncDispose]());

/** The host has no mirror and names the forge; the guard lets the sandbox reach it. */
function bulk(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if (headers[':method'] === 'CONNECT') return forge.bulk()(stream, headers);
  const query = new URL(headers[':path'] ?? '', 'http://host').searchParams;
  const place = `${query.get('owner')}/${query.get('repository')}`;
  stream.respond({ ':status': 404, 'onejob-action-url': `http://forge.test/${place}` });
  stream.end('No mirror has it.');
}

const remote = (ref: string, name = 'greet'): UsesStep =>
  uses(`acme/${name}@${ref}`, {
    action: { kind: 'repository', owner: 'acme', repository: name, path: '', ref },
    at: { line: 9, column: 15 },
  });

const runRemote = async (...steps: UsesStep[]): Promise<TestHost> =>
  await runToEnd({ task: makeTask([run('echo first'), ...steps]), bulk });

test('what no mirror has is fetched from its server: a tag before a branch, a branch, a commit', async () => {
  await using host = await runRemote(
    remote('v1'),
    remote('main'),
    remote(sha),
    remote(sha.toUpperCase()),
  );
  assert.deepEqual(host.violations, []);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(
    host.lines().filter((line) => /^(?:one|two)$/.test(line)),
    ['one', 'two', 'one', 'one'],
  );
  assert.match(
    host.text(-1),
    new RegExp(`Download action repository 'acme/greet@v1' \\(SHA:${sha}\\)`),
  );
  const told = host.messages.filter((message) => message.type === 'action');
  assert.deepEqual(
    told.map(({ uses: name, origin }) => [name, origin]),
    [
      ['acme/greet@v1', 'network'],
      ['acme/greet@main', 'network'],
      [`acme/greet@${sha}`, 'network'],
      [`acme/greet@${sha.toUpperCase()}`, 'network'],
    ],
  );
});

test('what is not there is said with what was tried, before the first step', async () => {
  const cases: [UsesStep, RegExp][] = [
    [
      remote('v9'),
      /`acme\/greet@v9`, unable to find version `v9` at http:\/\/forge\.test\/acme\/greet/,
    ],
    [
      remote('v1', 'nothing'),
      /`acme\/nothing@v1`, it is in no mirror of this host, and http:\/\/forge\.test\/acme\/nothing could not be read/,
    ],
    [remote('0'.repeat(40)), /could not be read: .*not our ref/],
    [remote(sha.slice(0, 7)), /looks like the shortened version of a commit SHA/],
  ];
  for (const [step, says] of cases) {
    await using host = await runRemote(step);
    assert.equal(host.finished.conclusion, 'failure');
    assert.match(
      host.finished.message,
      /^\.github\/workflows\/ci\.yml:9:15: Unable to resolve action/,
    );
    assert.match(host.finished.message, says);
    assert.ok(!host.lines().includes('first'));
  }
});
