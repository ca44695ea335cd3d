import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Repository } from './_forge.ts';
import { runToEnd } from './_host.ts';
import { call, checkout, expr, makeTask, path, run, text } from './_task.ts';

test('a problem matcher names files by their place in what checkout brought', async () => {
  using repository = new Repository();
  const matcher = {
    problemMatcher: [{ owner: 'a', pattern: [{ regexp: '^(\\S+): (.+)', file: 1, message: 2 }] }],
  };
  const script = [
    `echo '${JSON.stringify(matcher)}' > "$RUNNER_TEMP/m.json"; touch outside`,
    'echo "::add-matcher::$RUNNER_TEMP/m.json"; echo "below/file.txt: a"; echo "outside: b"',
  ].join('\n');
  await using host = await runToEnd({
    task: repository.task([checkout({ path: 'below' }), run(script)]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  const found = host.messages.flatMap((one) => (one.type === 'annotation' ? [one.annotation] : []));
  assert.deepEqual(found, [
    { level: 'error', message: 'a', file: 'file.txt' },
    { level: 'error', message: 'b' },
  ]);
});

test('checkout brings the commit of the run, on its branch, with depth one, and can fetch more', async () => {
  using repository = new Repository();
  const script =
    'cat file.txt; echo; git rev-parse HEAD; git branch --show-current; git rev-list --count HEAD; git fetch -q --unshallow && git rev-list --count HEAD; git status --short';
  await using host = await runToEnd({
    task: repository.task([
      checkout({}, { id: 'c' }),
      run(script),
      run(expr(call('format', text('echo out={0}'), path('steps.c.outputs.commit')))),
    ]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(1).slice(-5), ['two', repository.sha, 'main', '1', '2']);
  assert.ok(host.lines(2).includes(`out=${repository.sha}`));
  assert.ok(
    host
      .steps()
      .some((step) => step.phase === 'post' && step.index === 0 && step.conclusion === 'success'),
  );
  const config = readFileSync(join(host.work, 'sample/sample/.git/config'), 'utf8');
  assert.ok(!config.includes('extraheader'));
  assert.deepEqual(host.violations, []);
});

test('checkout without persisted credentials leaves none for later steps', async () => {
  using repository = new Repository();
  await using host = await runToEnd({
    task: repository.task([
      checkout({ 'persist-credentials': false }),
      run(
        'cat .git/config; git fetch origin main 2>&1 || echo refused; env | grep -c GIT_CONFIG || true',
        { env: null },
      ),
    ]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.ok(host.lines(1).includes('refused'), host.text(1));
  assert.ok(!host.text(1).includes('extraheader'));
});

test('checkout takes a branch, a tag, a commit, a path, and the whole history', async () => {
  using repository = new Repository();
  const first = repository.git('rev-parse', 'v1');
  await using host = await runToEnd({
    task: repository.task([
      checkout({ ref: 'side', path: 'a' }),
      checkout({ ref: 'v1', path: 'b' }),
      checkout({ ref: first, path: 'c' }),
      checkout({ path: 'd', 'fetch-depth': 0 }),
      checkout({ path: 'd', ref: 'side' }),
      checkout({ ref: first.toUpperCase(), path: 'e' }),
      run(
        'for d in a b c e; do git -C $d log -1 --format="$d %H"; done; git -C d branch --show-current; git -C d rev-parse origin/main; git -C d tag',
      ),
    ]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(6).slice(-7), [
    `a ${first}`,
    `b ${first}`,
    `c ${first}`,
    `e ${first}`,
    'side',
    repository.sha,
    'v1',
  ]);
});

test('checkout says what is wrong with its inputs', async () => {
  using repository = new Repository();
  const cases: [Record<string, string>, RegExp][] = [
    [{ path: '../../out' }, /Repository path '.*\/out' is not under '.*'/],
    [{ ref: 'gone' }, /name 'gone' could not be found in this run's snapshot/],
    [{ ref: '--upload-pack=x' }, /'--upload-pack=x' is not a name of a branch, tag or commit/],
    [{ repository: 'plain' }, /Invalid repository 'plain'\. Expected format \{owner\}\/\{repo\}/],
    [{ repository: 'else/where' }, /This host names no server of other repositories/],
    [
      { 'github-server-url': 'https://user:geheim@x.test' },
      /'github-server-url' must be an address such as https:\/\/github\.com, without a user/,
    ],
    [{ 'ssh-user': '-oProxyCommand=x', 'ssh-key': 'k' }, /'ssh-user' must be the name of a user/],
  ];
  for (const [inputs, sentence] of cases) {
    await using host = await runToEnd({
      task: repository.task([checkout(inputs)]),
      bulk: (stream, headers) => repository.serve(stream, headers),
    });
    assert.equal(host.finished.conclusion, 'failure', JSON.stringify(inputs));
    assert.match(host.finished.message, sentence);
    assert.doesNotMatch(host.finished.message, /geheim/);
  }
});

test('an input that the action does not have is warned of, and the checkout is done', async () => {
  using repository = new Repository();
  await using host = await runToEnd({
    task: repository.task([checkout({ depth: '1' }), run('cat file.txt')]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.match(
    host.text(0),
    /##\[warning\]Unexpected input\(s\) 'depth', valid inputs are \['repo/,
  );
});

test('paths of a sparse checkout, by directory or by pattern, are all there is, until all are asked for', async () => {
  using repository = new Repository({ 'a/x.txt': 'ax', 'b/y.txt': 'by', 'b/z.md': 'bz' });
  const list = 'echo "got $(git ls-files -t | grep "^H" | cut -c3- | sort | paste -sd,)"';
  await using host = await runToEnd({
    task: repository.task([
      checkout({ 'sparse-checkout': 'b\n', filter: 'tree:0' }),
      run(list),
      checkout({ 'sparse-checkout': '*.md\n/a/', 'sparse-checkout-cone-mode': false }),
      run(list),
      checkout(),
      run(list),
    ]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  const got = host.lines().filter((line) => line.startsWith('got '));
  assert.deepEqual(got, [
    'got b/y.txt,b/z.md,file.txt',
    'got a/x.txt,b/z.md',
    'got a/x.txt,b/y.txt,b/z.md,file.txt',
  ]);
  assert.match(host.text(0), /'filter' leaves nothing out here/);
});

test('a second checkout of a place is not hindered by branches, changes and depth of the first', async () => {
  using repository = new Repository();
  const script = 'git checkout -q -b side/way; echo x > file.txt; touch .git/index.lock';
  await using host = await runToEnd({
    task: repository.task([
      checkout({ ref: 'main' }),
      run(script),
      checkout({ ref: 'side', 'fetch-depth': 0 }),
      run('git branch --show-current; git rev-list --count origin/main; git status --short'),
    ]),
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(3).slice(-2), ['side', '2']);
});

test('the source is given under its own name only', async () => {
  using repository = new Repository();
  const ask = (name: string): string =>
    `curl -s -u "x:$TOKEN" -o /dev/null -w "%{http_code}\\n" "$GITHUB_SERVER_URL/${name}/info/refs?service=git-upload-pack"`;
  const task = repository.task([run(['local/sample', 'local/other'].map(ask).join('\n'))]);
  await using host = await runToEnd({
    task: { ...task, env: { TOKEN: task.token } },
    bulk: (stream, headers) => repository.serve(stream, headers),
  });
  assert.deepEqual(host.lines(0).slice(-2), ['200', '404']);
});

test('the source is not given to who cannot show the token of the job', async () => {
  using repository = new Repository();
  await using host = await runToEnd({
    task: repository.task([
      run(
        'curl -s -o /dev/null -w "%{http_code}\\n" "$GITHUB_SERVER_URL/local/sample/info/refs?service=git-upload-pack"; curl -s -u x:wrong -w "%{http_code}\\n" -o /dev/null "$GITHUB_SERVER_URL/local/sample/info/refs"',
      ),
    ]),
    bulk: () => assert.fail('must not reach the agent'),
  });
  assert.deepEqual(host.lines(0).slice(-2), ['401', '401']);
});

test('the addresses of the API are of the machine, and say that there is none', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run('curl -s -w " %{http_code}\\n" "$GITHUB_API_URL/repos/a/b" -d x "$GITHUB_GRAPHQL_URL"'),
    ]),
    bulk: () => assert.fail('must not reach the agent'),
  });
  const answers = host.lines(0).slice(-2);
  for (const answer of answers) {
    assert.match(answer, /^\{"message":"onejob has no API of a forge in a job yet\..*\} 404$/);
  }
});

/** CONNECT as a guard that allows one name does it. */
function guard(target: number, seen: string[]) {
  return (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    const authority = headers[':authority'] ?? '';
    seen.push(`${headers[':method']} ${authority}`);
    if (!authority.startsWith('allowed.example:')) {
      stream.respond({
        ':status': 403,
        'onejob-egress-reason': `${authority} is a private address`,
      });
      return void stream.end();
    }
    const socket = connect(target, '127.0.0.1');
    socket.on('error', () => stream.destroy());
    socket.once('connect', () => {
      stream.respond({ ':status': 200 });
      stream.pipe(socket).pipe(stream);
    });
  };
}

async function listen(server: Server): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  return (server.address() as AddressInfo).port;
}

test('programs reach the network through CONNECT and plain requests, or read why not', async () => {
  const server = createServer((request, response) => {
    request
      .resume()
      .once('end', () =>
        response.end(
          `${request.method} ${request.url} ${request.headers.host} ${String(request.headers['proxy-connection'] ?? 'clean')}\n`,
        ),
      );
  });
  const port = await listen(server);
  const seen: string[] = [];
  const script = [
    'curl -s http://allowed.example/plain?x=1',
    'curl -s -d body http://allowed.example:8080/post',
    'curl -s -p http://allowed.example/tunnel',
    'curl -s http://10.0.0.1/x',
    'curl -s -p http://169.254.169.254/ -o /dev/null -w "%{http_connect}\\n" || true',
  ].join('\n');
  try {
    await using host = await runToEnd({ task: makeTask([run(script)]), bulk: guard(port, seen) });
    assert.deepEqual(host.lines(0).slice(-5), [
      'GET /plain?x=1 allowed.example clean',
      'POST /post allowed.example:8080 clean',
      'GET /tunnel allowed.example clean',
      '10.0.0.1:80 is a private address',
      '403',
    ]);
    assert.deepEqual(seen, [
      'CONNECT allowed.example:80',
      'CONNECT allowed.example:8080',
      'CONNECT allowed.example:80',
      'CONNECT 10.0.0.1:80',
      'CONNECT 169.254.169.254:80',
    ]);
  } finally {
    server.close();
  }
});

test('a tunnel carries much both ways and keeps half-closed connections', async () => {
  // Answers only after the client has ended its half: with the number of bytes, and as many back.
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length)).on('error', () => {});
    socket.on('end', () => socket.end(`${bytes}\n${'y'.repeat(bytes)}`));
  });
  const port = await listen(server);
  const script = `
const net = require('node:net');
const proxy = new URL(process.env.http_proxy);
const s = net.connect({ port: proxy.port, host: proxy.hostname, allowHalfOpen: true });
s.write('CONNECT allowed.example:9 HTTP/1.1\\r\\n\\r\\n');
let head = false, bytes = 0;
s.on('data', (c) => { if (!head) { head = true; s.end(Buffer.alloc(20e6, 120)); return; } bytes += c.length; });
s.on('end', () => console.log('back', bytes));
`;
  try {
    await using host = await runToEnd({
      task: makeTask([run(script, { shell: 'node {0}' })]),
      bulk: guard(port, []),
    });
    assert.ok(host.lines(0).includes('back 20000009'), host.text());
  } finally {
    server.close();
  }
});

test('nothing of the runner listens after the job', async () => {
  await using host = await runToEnd({ task: makeTask([run('echo "port ${http_proxy##*:}"')]) });
  const port = Number(/port (\d+)/.exec(host.lines(0).at(-1)!)?.[1]);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  connect(port, '127.0.0.1')
    .on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    .on('connect', () => resolve('open'));
  assert.equal(await promise, 'ECONNREFUSED');
  assert.ok(existsSync(host.work));
});
