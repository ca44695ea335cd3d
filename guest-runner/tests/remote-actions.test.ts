/** Actions that the host does not have: got by the real git through the guard's tunnel. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { UsesStep } from '@onejob/protocol';
import { runToEnd, type TestHost } from './_host.ts';
import { makeTask, run, uses } from './_task.ts';

const root = mkdtempSync(join(tmpdir(), 'onejob-remote-'));
const repository = join(root, 'acme', 'greet');
const ENVIRONMENT = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
};
const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
    cwd: repository,
    env: ENVIRONMENT,
    encoding: 'utf8',
  }).trim();

/** git's own server, as a forge has one. */
function serve(): Server {
  return createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://forge');
    const child = spawn('git', ['http-backend'], {
      env: {
        ...ENVIRONMENT,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? 'GET',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        GIT_CONFIG_COUNT: '2',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
        GIT_CONFIG_KEY_1: 'uploadpack.allowAnySHA1InWant',
        GIT_CONFIG_VALUE_1: 'true',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    request.pipe(child.stdin);
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.stdout.on('end', () => {
      const all = Buffer.concat(parts);
      const end = all.indexOf('\r\n\r\n');
      const fields = all.toString('latin1', 0, end).split('\r\n');
      for (const field of fields) {
        const [name = '', value = ''] = field.split(': ', 2);
        if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      response.end(all.subarray(end + 4));
    });
  });
}

const forge = serve();
let sha = '';
before(async () => {
  execFileSync('git', ['init', '-q', '-b', 'main', repository], { env: ENVIRONMENT });
  writeFileSync(join(repository, 'action.yml'), 'runs: { using: node24, main: m.js }\n');
  writeFileSync(join(repository, 'm.js'), "console.log('one');\n");
  git('add', '.');
  git('commit', '-q', '-m', 'one');
  git('tag', 'v1');
  sha = git('rev-parse', 'HEAD');
  writeFileSync(join(repository, 'm.js'), "console.log('two');\n");
  git('commit', '-q', '-a', '-m', 'two');
  git('branch', 'v1');
  git('tag', sha.toUpperCase());
  const { promise, resolve } = Promise.withResolvers<void>();
  forge.listen(0, '127.0.0.1', resolve);
  await promise;
});
after(() => {
  forge.close();
  rmSync(root, { recursive: true, force: true });
});

/** The host has no mirror and names the forge; the guard lets the sandbox reach it. */
function bulk(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if (headers[':method'] === 'CONNECT') {
    const socket = connect((forge.address() as AddressInfo).port, '127.0.0.1');
    stream.respond({ ':status': 200 });
    stream.pipe(socket).on('error', () => stream.destroy());
    socket.pipe(stream);
    return;
  }
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
