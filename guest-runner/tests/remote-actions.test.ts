/** Actions of other repositories, as the host answers: their files, or why there are none. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { UsesStep } from '@onejob/protocol';
import { runToEnd, type TestHost } from './_host.ts';
import { checkout, makeTask, run, uses } from './_task.ts';

const root = mkdtempSync(join(tmpdir(), 'onejob-remote-'));
after(() => rmSync(root, { recursive: true, force: true }));

function archiveSaying(text: string): Buffer {
  writeFileSync(join(root, 'action.yml'), 'runs: { using: node24, main: m.js }\n');
  writeFileSync(join(root, 'm.js'), `console.log('${text}');\n`);
  return execFileSync('tar', ['-c', '-C', root, '.']);
}

const SHA = 'a'.repeat(40);
/** What the host says, by `owner/repository@ref`. */
const ANSWERS: Readonly<Record<string, { status: number; text: string; origin?: string }>> = {
  'acme/greet@v1': { status: 200, text: 'from the network', origin: 'network' },
  'acme/mirrored@v1': { status: 200, text: 'from a mirror', origin: 'mirror' },
  'acme/greet@v9': { status: 404, text: 'unable to find version `v9` at https://git.example.' },
  'acme/greet@abcdef1': { status: 404, text: 'unable to find version `abcdef1`.' },
  'acme/greet@abcdef2': { status: 502, text: 'https://git.example could not be reached.' },
};

/** Requests so far, of the test that runs. */
const asked: string[] = [];
function bulk(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const query = new URL(headers[':path'] ?? '', 'http://host').searchParams;
  const name = `${query.get('owner')}/${query.get('repository')}@${query.get('ref')}`;
  asked.push(`${name} ${query.get('only')}`.trim());
  const { origin, status, text } = ANSWERS[name] ?? { status: 500, text: 'The host failed.' };
  if (origin === undefined) {
    stream.respond({ ':status': status });
    stream.end(text);
    return;
  }
  const archive = archiveSaying(text);
  stream.respond({
    ':status': 200,
    'content-length': archive.length,
    'onejob-action-commit': SHA,
    'onejob-action-origin': origin,
  });
  stream.end(archive);
}

const remote = (repository: string, ref: string): UsesStep =>
  uses(`acme/${repository}@${ref}`, {
    action: { kind: 'repository', owner: 'acme', repository, path: '', ref },
    at: { line: 9, column: 15 },
  });

const runRemote = async (...steps: UsesStep[]): Promise<TestHost> =>
  await runToEnd({ task: makeTask([run('echo first'), ...steps]), bulk });

test('what the host has is got once, run, and said with its commit, to people and to the run', async () => {
  asked.length = 0;
  const steps = [remote('greet', 'v1'), remote('mirrored', 'v1'), remote('greet', 'v1')];
  await using host = await runRemote(...steps);
  assert.deepEqual(host.violations, []);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(
    host.lines().filter((line) => line.startsWith('from ')),
    ['from the network', 'from a mirror', 'from the network'],
  );
  assert.deepEqual(asked, ['acme/greet@v1', 'acme/mirrored@v1']);
  assert.deepEqual(
    host
      .text(-1)
      .split('\n')
      .filter((line) => line.startsWith('Download')),
    [
      `Download action repository 'acme/greet@v1' (SHA:${SHA})`,
      `Download action repository 'acme/mirrored@v1' (SHA:${SHA}) from a mirror of this host`,
    ],
  );
  const told = host.messages.filter((message) => message.type === 'action');
  assert.deepEqual(
    told.map(({ commit, origin, uses: name }) => [name, commit, origin]),
    [
      ['acme/greet@v1', SHA, 'network'],
      ['acme/mirrored@v1', SHA, 'mirror'],
    ],
  );
});

test('what the host does not give is said with its sentence, before the first step', async () => {
  const cases: [UsesStep, RegExp][] = [
    [remote('greet', 'v9'), /`acme\/greet@v9`, unable to find version `v9` at https:\/\/git/],
    [remote('greet', 'abcdef1'), /looks like the shortened version of a commit SHA/],
    [remote('greet', 'abcdef2'), /`acme\/greet@abcdef2`, https:\/\/git\.example could not be/],
    [remote('unknown', 'v1'), /`acme\/unknown@v1`, The host failed\./],
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

test('an own implementation looks into mirrors only, and a host that fails is no mirror without it', async () => {
  asked.length = 0;
  const task = makeTask([run('echo first'), checkout()]);
  await using host = await runToEnd({
    task,
    bulk,
    actions: { builtin: 'fallback', mirrored: true, serverUrl: '' },
  });
  assert.deepEqual(asked, ['actions/checkout@v4 mirrors']);
  assert.match(host.finished.message, /`actions\/checkout@v4`, The host failed\./);
});
