/** Snapshots in, source out: real git on both sides, over the real sockets. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { createServer, request as startRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { type Leased, TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { gitIn, packOf, type Platform, RUN } from './_platform.ts';

const exec = promisify(execFile);
const WORKFLOW = `on: push
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;

/** A scratch repository with a workflow and `commits` commits. */
function makeRepository(platform: Platform, name: string, commits: number): string {
  const directory = join(platform.directory, name);
  mkdirSync(join(directory, '.github', 'workflows'), { recursive: true });
  gitIn(directory, 'init', '-q', '-b', 'main');
  writeFileSync(join(directory, '.github', 'workflows', 'ci.yml'), WORKFLOW);
  for (let commit = 1; commit <= commits; commit += 1) {
    appendFileSync(join(directory, 'file.txt'), `line ${commit}\n`);
    gitIn(directory, 'add', '-A');
    gitIn(directory, 'commit', '-q', '-m', `commit ${commit}`);
  }
  return directory;
}

async function send(platform: Platform, directory: string, exclude: string[] = []) {
  const sha = gitIn(directory, 'rev-parse', 'HEAD');
  const pack = packOf(directory, sha, exclude);
  const answer = await platform.api('POST', `/repositories/acme/app/snapshots?sha=${sha}`, pack);
  return { sha, status: answer.status, text: answer.text };
}

type SourceAnswer = { status: number; body: string };

/** What an agent does: one request to the source of a lease, with its session. */
async function getSource(
  platform: Platform,
  path: string,
  session: string | undefined,
  method = 'GET',
): Promise<SourceAnswer> {
  const { agentSocketPath } = platform.controlPlane;
  const client = connectHttp2('http://agent.local', {
    createConnection: () => connectSocket(agentSocketPath),
  });
  try {
    return await new Promise<SourceAnswer>((resolve, reject) => {
      const stream = client.request({
        ':path': path,
        ':method': method,
        ...(session === undefined ? {} : { [SESSION_CREDENTIAL_HEADER]: session }),
      });
      let status = 0;
      let body = '';
      stream.on('response', (headers) => (status = Number(headers[':status'])));
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => (body += chunk));
      stream.on('end', () => resolve({ status, body }));
      stream.on('error', reject);
      stream.end();
    });
  } finally {
    client.close();
  }
}

/** An HTTP/1 front for git, as the guest runner's is: adds the session, speaks HTTP/2 behind. */
async function serveFront(platform: Platform, leased: Leased, prefix: string) {
  const client = connectHttp2('http://agent.local', {
    createConnection: () => connectSocket(platform.controlPlane.agentSocketPath),
  });
  const server = createServer((req, res) => {
    const kept = ['content-type', 'content-encoding', 'git-protocol', 'accept'];
    const stream = client.request({
      ':path': `${prefix}${req.url}`,
      ':method': req.method ?? 'GET',
      [SESSION_CREDENTIAL_HEADER]: leased.lease.sessionCredential,
      ...Object.fromEntries(
        kept.flatMap((name) => (req.headers[name] ? [[name, req.headers[name]]] : [])),
      ),
    });
    stream.on('response', (headers) => {
      res.writeHead(Number(headers[':status']), {
        'content-type': headers['content-type'] ?? 'text/plain',
      });
      stream.pipe(res);
    });
    stream.on('error', () => res.destroy());
    req.pipe(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      client.close();
    },
  };
}

const GIT_ENVIRONMENT = {
  PATH: process.env['PATH'],
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
};

onEveryDatabase(
  'source',
  (start) => {
    test('a job clones the commit of its run under its ref, shallow or with history', async () => {
      await using platform = await start();
      const directory = makeRepository(platform, 'src', 5);
      const { sha } = await send(platform, directory);
      await platform.createRuns({ sha, ref: 'refs/heads/topic/x' });
      // Another commit of the same repository that this run has nothing to do with.
      appendFileSync(join(directory, 'file.txt'), 'secret\n');
      gitIn(directory, 'commit', '-qam', 'later');
      const later = await send(platform, directory, [sha]);
      assert.equal(later.status, 200);

      const leased = await (await TestAgent.announce(platform)).take();
      const answer = await leased.adopt();
      assert.equal(answer.sourcePath, `/source/${leased.jobId}/1`);
      await using front = await serveFront(platform, leased, answer.sourcePath);
      for (const [name, depth] of [
        ['shallow', ['--depth', '1']],
        ['whole', []],
      ] as const) {
        const target = join(platform.directory, name);
        await exec('git', ['clone', '-q', ...depth, `${front.url}/acme/app.git`, target], {
          env: GIT_ENVIRONMENT,
        });
        assert.equal(gitIn(target, 'rev-parse', 'HEAD'), sha);
        assert.equal(gitIn(target, 'rev-parse', '--abbrev-ref', 'HEAD'), 'topic/x');
        assert.equal(gitIn(target, 'rev-list', '--count', 'HEAD'), name === 'whole' ? '5' : '1');
        const remote = await exec('git', ['ls-remote', 'origin'], {
          cwd: target,
          env: GIT_ENVIRONMENT,
        });
        // git names the HEAD of a namespace twice.
        const refs = [...new Set(remote.stdout.trim().split('\n'))];
        assert.deepEqual(refs, [`${sha}\tHEAD`, `${sha}\trefs/heads/topic/x`]);
        assert.doesNotMatch(readFileSync(join(target, 'file.txt'), 'utf8'), /secret/);
      }
      const push = exec('git', ['push', '-q', 'origin', 'HEAD:refs/heads/evil'], {
        cwd: join(platform.directory, 'whole'),
        env: GIT_ENVIRONMENT,
      });
      await assert.rejects(push);
    });

    test('a job fetches by SHA what its own run reaches, and nothing of another run', async () => {
      await using platform = await start();
      const directory = makeRepository(platform, 'src', 3);
      const { sha } = await send(platform, directory);
      await platform.createRuns({ sha, ref: 'refs/heads/main' });
      appendFileSync(join(directory, 'file.txt'), 'secret\n');
      gitIn(directory, 'commit', '-qam', 'later');
      const later = await send(platform, directory, [sha]);
      assert.equal(later.status, 200, later.text);
      await platform.createRuns({ sha: later.sha, ref: 'refs/heads/later' });
      const agent = await TestAgent.announce(platform);
      const [first, second] = [await agent.take(), await agent.take()];
      const fronts = new AsyncDisposableStack();
      await using _ = fronts;
      const urls: string[] = [];
      for (const leased of [first, second]) {
        const { sourcePath } = await leased.adopt();
        const front = fronts.use(await serveFront(platform, leased, sourcePath));
        urls.push(`${front.url}/acme/app.git`);
      }
      let targets = 0;
      const fetchOf = async (version: string, ...words: string[]): Promise<string> => {
        const target = join(platform.directory, `target-${(targets += 1)}`);
        gitIn(platform.directory, 'init', '-q', target);
        const argv = ['-c', `protocol.version=${version}`, 'fetch', '-q', ...words];
        await exec('git', argv, { cwd: target, env: GIT_ENVIRONMENT });
        return gitIn(target, 'rev-parse', 'FETCH_HEAD');
      };
      const secrets = [later.sha, `${later.sha}^{tree}`, `${later.sha}:file.txt`];
      for (const version of ['2', '1', '0']) {
        assert.equal(await fetchOf(version, urls[0]!, sha), sha);
        assert.equal(await fetchOf(version, '--depth=1', urls[0]!, sha), sha);
        assert.equal(await fetchOf(version, urls[0]!, 'refs/heads/main'), sha);
        assert.equal(await fetchOf(version, '--depth=1', urls[1]!, later.sha), later.sha);
        for (const secret of secrets) {
          const name = gitIn(directory, 'rev-parse', secret);
          const what = `${secret} by version ${version}`;
          await assert.rejects(fetchOf(version, urls[0]!, name), /not our ref/, what);
          const shallow = fetchOf(version, '--depth=1', urls[0]!, name);
          await assert.rejects(shallow, /not our ref/, `${what}, shallow`);
        }
      }
      // Where a client says that its history ends, git sends the parents when it deepens.
      await fetchOf('0', '--depth=1', urls[0]!, sha);
      const target = join(platform.directory, `target-${targets}`);
      appendFileSync(join(target, '.git', 'shallow'), `${later.sha}\n`);
      const deepen = exec('git', ['fetch', '-q', '--unshallow', urls[0]!, sha], {
        cwd: target,
        env: GIT_ENVIRONMENT,
      });
      await assert.rejects(deepen, /not our ref/);
    });

    test('the source is there for the live lease that asks for its own, and nobody else', async () => {
      await using platform = await start();
      const { sha } = await send(platform, makeRepository(platform, 'src', 1));
      await platform.createRuns({ sha });
      await platform.createRuns({ sha });
      const agent = await TestAgent.announce(platform);
      const mine = await agent.take();
      const other = await agent.start();
      const path = `/source/${mine.jobId}/1/info/refs?service=git-upload-pack`;
      const session = mine.lease.sessionCredential;
      const status = async (...request: [string, string?, string?]): Promise<number> =>
        (await getSource(platform, request[0], request[1], request[2])).status;

      assert.equal(await status(path, session), 404, 'before the adoption');
      await mine.adopt();
      assert.equal(await status(path, session), 200);
      assert.equal(await status(path), 404, 'without a session');
      assert.equal(await status(path, other.lease.sessionCredential), 404, 'with another session');
      assert.equal(await status(path.replace('/1/', '/2/'), session), 404, 'another attempt');
      const named = path.replace('/1/', '/1/acme/app.git/');
      assert.equal(await status(named, session), 200);
      assert.equal(await status(named.replace('app.git', 'other'), session), 404);
      const refusedPaths = [
        path.replace('git-upload-pack', 'git-receive-pack'),
        `/source/${mine.jobId}/1/HEAD`,
        `/source/${mine.jobId}/1/../../${other.jobId}/1/info/refs?service=git-upload-pack`,
        `/source/${mine.jobId}/1/objects/info/packs`,
        `/source/${mine.jobId}/1/git-receive-pack`,
      ];
      for (const refused of refusedPaths)
        assert.equal(await status(refused, session), 404, refused);
      assert.equal(await status(`/source/${mine.jobId}/1/git-receive-pack`, session, 'POST'), 404);
      await mine.finish();
      assert.equal(await status(path, session), 404, 'after the end');
    });

    test('the view of a run is gone after its end, also when another process made it', async () => {
      await using platform = await start();
      const { sha } = await send(platform, makeRepository(platform, 'src', 1));
      await platform.createRuns({ sha });
      const leased = await (await TestAgent.announce(platform)).start();
      const path = `/source/${leased.jobId}/1/info/refs?service=git-upload-pack`;
      await getSource(platform, path, leased.lease.sessionCredential);
      const bare = join(platform.controlPlane.dataDirectory, 'repositories', 'acme', 'app.git');
      const views = (): string => gitIn(bare, 'for-each-ref', 'refs/namespaces/');
      assert.notEqual(views(), '');
      await platform.stop();
      await platform.startAgain();
      assert.notEqual(views(), '');
      const client = platform.agentClient(leased.agent.credential);
      await client.finish({ lease: leased.lease, reason: 'steps_completed' });
      await platform.eventually(
        async () => views(),
        (refs) => refs === '',
      );
    });

    test('a snapshot of what changed since a tip is enough, and tips are listed', async () => {
      await using platform = await start();
      const directory = makeRepository(platform, 'src', 3);
      const first = await send(platform, directory);
      appendFileSync(join(directory, 'file.txt'), 'more\n');
      gitIn(directory, 'commit', '-qam', 'more');
      const thin = await send(platform, directory, [first.sha]);
      assert.equal(thin.status, 200, thin.text);
      const tips = await platform.api('GET', '/repositories/acme/app/tips');
      assert.deepEqual(
        new Set((tips.body as { tips: string[] }).tips),
        new Set([first.sha, thin.sha]),
      );
      const again = await send(platform, directory, [thin.sha]);
      assert.equal(again.status, 200, again.text);
    });

    test('a shallow clone can be sent, and its history can follow later', async () => {
      await using platform = await start();
      const directory = makeRepository(platform, 'src', 6);
      const shallow = join(platform.directory, 'shallow');
      gitIn(platform.directory, 'clone', '-q', '--depth', '2', `file://${directory}`, shallow);
      const sent = await send(platform, shallow);
      assert.equal(sent.status, 200, sent.text);
      const bare = join(platform.controlPlane.dataDirectory, 'repositories', 'acme', 'app.git');
      assert.equal(gitIn(bare, 'rev-list', '--count', sent.sha), '2');
      await platform.createRuns({ sha: sent.sha });
      const leased = await (await TestAgent.announce(platform)).take();
      const { sourcePath } = await leased.adopt();
      await using front = await serveFront(platform, leased, sourcePath);
      const target = join(platform.directory, 'target');
      await exec('git', ['clone', '-q', `${front.url}/acme/app`, target], { env: GIT_ENVIRONMENT });
      assert.equal(gitIn(target, 'rev-list', '--count', 'HEAD'), '2');

      appendFileSync(join(directory, 'file.txt'), 'more\n');
      gitIn(directory, 'commit', '-qam', 'more');
      const whole = await send(platform, directory);
      assert.equal(whole.status, 200, whole.text);
      assert.equal(gitIn(bare, 'rev-list', '--count', whole.sha), '7');
    });

    test('a pack that is broken, cut off or lacks a part is refused and nothing is kept', async () => {
      await using platform = await start();
      // A history that shares nothing with the one of the packs.
      const base = join(platform.directory, 'base');
      gitIn(platform.directory, 'init', '-q', '-b', 'main', base);
      writeFileSync(join(base, 'base.txt'), 'base\n');
      gitIn(base, 'add', '-A');
      gitIn(base, 'commit', '-q', '-m', 'base');
      const kept = await send(platform, base);
      assert.equal(kept.status, 200, kept.text);
      const bare = join(platform.controlPlane.dataDirectory, 'repositories', 'acme', 'app.git');
      const files = (): string[] =>
        readdirSync(bare, { recursive: true, encoding: 'utf8' }).toSorted();
      const before = files();
      const directory = makeRepository(platform, 'src', 3);
      const sha = gitIn(directory, 'rev-parse', 'HEAD');
      const parent = gitIn(directory, 'rev-parse', 'HEAD~1');
      const whole = packOf(directory, sha);
      const broken = Uint8Array.from(whole);
      broken[broken.length >> 1] = broken[broken.length >> 1]! ^ 0xff;
      const packs: [string, Uint8Array][] = [
        ['a flipped byte', broken],
        ['half', whole.subarray(0, whole.length >> 1)],
        ['no pack', new TextEncoder().encode('hello')],
        ['nothing', new Uint8Array(0)],
        ['only the last commit of three, thin', packOf(directory, sha, [parent])],
      ];
      for (const [what, pack] of packs) {
        const path = `/repositories/acme/app/snapshots?sha=${sha}`;
        const answer = await platform.api('POST', path, pack);
        assert.equal(answer.status, 422, `${what}: ${answer.text}`);
        const { error } = answer.body as { error: { code: string } };
        assert.equal(error.code, 'snapshot_rejected', what);
        assert.deepEqual(files(), before, what);
      }
      const upload = startRequest({
        socketPath: platform.controlPlane.apiSocketPath,
        method: 'POST',
        path: `/api/v1/repositories/acme/app/snapshots?sha=${sha}`,
        headers: {
          'content-type': 'application/x-git-pack',
          'content-length': whole.length,
          authorization: `Bearer ${platform.controlPlane.apiToken}`,
        },
      });
      upload.on('error', () => {});
      upload.write(whole.subarray(0, whole.length >> 1));
      // A folder may go while it is listed.
      const look = async (): Promise<string[]> => {
        try {
          return files();
        } catch {
          return [];
        }
      };
      const isIncoming = (name: string): boolean => name.includes('tmp_pack_');
      await platform.eventually(look, (names) => names.some(isIncoming));
      upload.destroy();
      await platform.eventually(look, (names) => names.join('\n') === before.join('\n'));
      const tips = await platform.api('GET', '/repositories/acme/app/tips');
      assert.deepEqual(tips.body, { tips: [kept.sha] });
      const missing = await platform.api('POST', '/runs', { ...RUN, sha });
      assert.equal(missing.status, 409);

      // What a killed process was taking goes when the next one starts.
      mkdirSync(join(bare, 'incoming-0123456789ab', 'pack'), { recursive: true });
      await platform.stop();
      await platform.startAgain();
      assert.deepEqual(files(), before);
    });
  },
  { pglite: 'in long tests' },
);
