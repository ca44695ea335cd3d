/** What a checkout gets from other servers: repositories, submodules, large files; and with what it asks. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitIn, gitIn } from '@onejob/testing/git-backend';
import { Forge, Repository } from './_forge.ts';
import { runToEnd, TestHost } from './_host.ts';
import { call, checkout, expr, path, run, text, type TaskParts } from './_task.ts';

const PAT = 'pat-0123456789abcdef';
const PAT_BASIC = Buffer.from(`x-access-token:${PAT}`).toString('base64');
const ELSEWHERE = { repository: 'acme/lib', 'github-server-url': 'http://forge.test' };

type Steps = Parameters<Repository['task']>[0];

/** A job beside its own repository, with a forge that the guard lets it reach. */
const runWith = async (
  forge: Forge,
  own: Repository,
  steps: Steps,
  parts: TaskParts = {},
): Promise<TestHost> =>
  await runToEnd({
    task: own.task(steps, parts),
    bulk: forge.bulk(own),
    serverUrl: 'http://forge.test',
  });

const echo = (name: string): Steps[number] =>
  run(expr(call('format', text(`echo ${name}={0}`), path(`steps.c.outputs.${name}`))));

test('another repository comes from its server: its default branch, a branch, a tag, a commit', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  const lib = forge.add('acme/lib', { 'a.txt': 'one' });
  gitIn(lib, 'tag', 'v1');
  const first = gitIn(lib, 'rev-parse', 'HEAD');
  gitIn(lib, 'branch', 'side');
  const second = commitIn(lib, { 'a.txt': 'two' }, 'two');
  gitIn(lib, 'checkout', '-q', '-b', 'trunk');
  await using host = await runWith(forge, own, [
    checkout({ repository: 'acme/lib', path: 'a', 'fetch-depth': 0 }, { id: 'c' }),
    echo('ref'),
    echo('commit'),
    checkout({ repository: 'acme/lib', path: 'b', ref: 'side', token: expr(path('github.token')) }),
    checkout({ ...ELSEWHERE, path: 'c', ref: 'v1' }),
    checkout({ ...ELSEWHERE, path: 'd', ref: first.toUpperCase() }),
    checkout({ path: 'own' }),
    run('for d in a b c d own; do git -C $d log -1 --format="$d %H"; done; git -C a branch'),
  ]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(7).slice(-6), [
    `a ${second}`,
    `b ${first}`,
    `c ${first}`,
    `d ${first}`,
    `own ${own.sha}`,
    '* trunk',
  ]);
  assert.ok(host.lines(1).includes('ref=refs/heads/trunk'));
  assert.ok(host.lines(2).includes(`commit=${second}`));
  // The job's own token is nobody else's business.
  assert.deepEqual(
    forge.requests.filter(({ authorization }) => authorization !== ''),
    [],
  );
});

test('a token is shown to its server only, kept for later steps until the end, and seen nowhere', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  forge.add('acme/lib', { 'a.txt': 'one' }, PAT);
  const trace = join(own.directory, 'trace');
  await using host = await runWith(
    forge,
    own,
    [
      checkout({ ...ELSEWHERE, token: PAT, path: 'kept' }),
      checkout({ ...ELSEWHERE, token: PAT, path: 'not', 'persist-credentials': false }),
      checkout({ path: 'own' }),
      run('git -C kept fetch -q origin main && echo fetched; cat kept/.git/config'),
      run('git -C not fetch -q origin main || echo refused'),
    ],
    { env: { GIT_TRACE: trace } },
  );
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.ok(host.lines(3).includes('fetched'), host.text(3));
  assert.ok(host.text(3).includes('extraheader = AUTHORIZATION: basic ***'), host.text(3));
  assert.ok(host.lines(4).includes('refused'), host.text(4));
  for (const said of [host.text(), JSON.stringify(host.messages.filter(isPublic))]) {
    assert.ok(!said.includes(PAT));
    assert.ok(!said.includes(PAT_BASIC));
  }
  // Every process of git writes its arguments there.
  const traced = readFileSync(trace, 'utf8');
  assert.match(traced, /git fetch/);
  for (const secret of [PAT, PAT_BASIC, btoa('x-access-token:tok-0123456789abcdef')]) {
    assert.ok(!traced.includes(secret));
  }
  for (const place of ['kept', 'not', 'own']) {
    const config = readFileSync(join(host.work, 'sample/sample', place, '.git/config'), 'utf8');
    assert.ok(!config.includes('AUTHORIZATION'), config);
  }
});

const isPublic = ({ type }: { type: string }): boolean => type !== 'mask';

test('a repository that cannot be read is said with its address and what to do, without a question', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  forge.add('acme/lib', { 'a.txt': 'one' }, PAT);
  const cases: [Record<string, string>, RegExp][] = [
    [
      ELSEWHERE,
      /http:\/\/forge\.test\/acme\/lib could not be read: .*Username.*may the job read it with the input 'token'/,
    ],
    [{ ...ELSEWHERE, token: 'wrong' }, /http:\/\/forge\.test\/acme\/lib could not be read: .*/],
    [
      { ...ELSEWHERE, token: PAT, ref: 'gone' },
      /'gone' could not be found at http:\/\/forge\.test/,
    ],
    [{ repository: 'acme/none' }, /http:\/\/forge\.test\/acme\/none could not be read/],
    [
      { repository: 'a/b', 'github-server-url': 'http://far.test' },
      /far\.test\/a\/b could not be read/,
    ],
  ];
  for (const [inputs, sentence] of cases) {
    await using host = await runWith(forge, own, [checkout(inputs)]);
    assert.equal(host.finished.conclusion, 'failure');
    assert.match(host.finished.message, sentence);
    assert.match(host.finished.message, /^\.github\/workflows\/ci\.yml:10:7: /);
  }
});

/** Lets the first request for refs pass, which asks for the default branch, and fails some after it. */
function failing(failures: number): Forge['extra'] {
  let asked = 0;
  return (request, response) => {
    if (request.url?.includes('/info/refs') !== true) return false;
    asked += 1;
    if (asked === 1 || asked > 1 + failures) return false;
    response.writeHead(503).end();
    return true;
  };
}

test('a fetch that fails is tried again', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  forge.add('acme/lib', { 'a.txt': 'one' });
  forge.extra = failing(1);
  await using host = await runWith(forge, own, [checkout(ELSEWHERE)]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.ok(host.lines(0).includes('Waiting 2 seconds before trying again'), host.text(0));
});

test('a step that is cancelled does not wait to try its fetch again', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  forge.add('acme/lib', { 'a.txt': 'one' });
  forge.extra = failing(Infinity);
  await using host = new TestHost({
    task: own.task([checkout(ELSEWHERE)]),
    bulk: forge.bulk(own),
    serverUrl: 'http://forge.test',
  });
  host.onRow = ({ text: line }) => {
    if (line.startsWith('Waiting 2 ')) {
      host.send({ type: 'cancel', reason: 'cancelled', graceMs: 60_000, timeoutMs: 60_000 });
    }
  };
  await (await host.start()).exit();
  assert.equal(host.finished.conclusion, 'cancelled');
  assert.equal(forge.requests.filter(({ line }) => line.endsWith('/info/refs')).length, 2);
});

/** The run's repository with a submodule by a relative address, which has one by ssh. */
function addSubmodules(forge: Forge, own: Repository): void {
  const inner = forge.add('acme/inner', { 'inner.txt': 'i' }, PAT);
  const lib = forge.add('local/lib', { 'lib.txt': 'l' }, PAT);
  const link = (directory: string, name: string, url: string, target: string): void => {
    const modules = `[submodule "${name}"]\n\tpath = ${name}\n\turl = ${url}\n`;
    writeFileSync(join(directory, '.gitmodules'), modules);
    gitIn(directory, 'add', '.gitmodules');
    const sha = gitIn(target, 'rev-parse', 'HEAD');
    gitIn(directory, 'update-index', '--add', '--cacheinfo', `160000,${sha},${name}`);
    gitIn(directory, 'commit', '-q', '-m', 'link');
  };
  link(lib, 'inner', 'git@forge.test:acme/inner.git', inner);
  link(own.directory, 'lib', '../lib.git', lib);
  own.sha = own.git('rev-parse', 'HEAD');
}

test('submodules come from the server of the others, relative addresses and those of ssh too', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  addSubmodules(forge, own);
  const look =
    'find . -name "*.txt" -not -path "./.git/*" | sort | paste -sd,; for d in $(find . -name config -path "*modules*"); do grep -c extraheader $d; done; true';
  await using host = await runWith(forge, own, [
    checkout({ submodules: 'true', token: PAT }),
    run(look),
    checkout({ submodules: 'recursive', token: PAT }),
    run(look),
    run('git -C lib/inner fetch -q origin main && git submodule update --recursive && echo again'),
    checkout({ submodules: 'false' }),
  ]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(1).slice(-2), ['./file.txt,./lib/lib.txt', '1']);
  assert.deepEqual(host.lines(3).slice(-3), [
    './file.txt,./lib/inner/inner.txt,./lib/lib.txt',
    '1',
    '1',
  ]);
  assert.ok(host.lines(4).includes('again'), host.text(4));
  const modules = join(host.work, 'sample/sample/.git/modules/lib');
  for (const file of ['config', 'modules/inner/config']) {
    assert.doesNotMatch(readFileSync(join(modules, file), 'utf8'), /AUTHORIZATION|insteadOf/i);
  }
  assert.ok(!host.text().includes(PAT));
});

test('of another repository a partial clone gets what its working tree needs', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  forge.add('acme/lib', { 'a/x.txt': 'x', 'b/y.txt': 'y', 'c.txt': 'c' });
  const missing =
    'echo "missing $(git rev-list --objects --all --missing=print | grep -c "^?")"; ls -R | paste -sd,';
  await using host = await runWith(forge, own, [
    checkout({ ...ELSEWHERE, 'sparse-checkout': 'a' }),
    run(missing),
    checkout({ ...ELSEWHERE, path: 'f', filter: 'blob:none', 'sparse-checkout': 'b' }),
    run(`cd f; ${missing}; git show HEAD:a/x.txt`),
  ]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(host.lines(1).slice(-2), ['missing 1', '.:,a,c.txt,,./a:,x.txt']);
  assert.deepEqual(host.lines(3).slice(-3), ['missing 1', '.:,b,c.txt,,./b:,y.txt', 'x']);
});

/** Git LFS's batch API (https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md), for one object. */
function serveLarge(content: string) {
  const oid = createHash('sha256').update(content).digest('hex');
  const size = Buffer.byteLength(content);
  const serve = (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.url === `/large/${oid}`) {
      response.end(content);
      return true;
    }
    if (request.url !== '/local/sample.git/info/lfs/objects/batch') return false;
    response.setHeader('content-type', 'application/vnd.git-lfs+json');
    const download = { href: `http://forge.test/large/${oid}` };
    response.end(JSON.stringify({ objects: [{ oid, size, actions: { download } }] }));
    return true;
  };
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${size}\n`;
  return { serve, pointer };
}

const hasLfs = (process.env['PATH'] ?? '')
  .split(':')
  .some((directory) => existsSync(join(directory, 'git-lfs')));

test(
  'large files come from the server of the others',
  { skip: !hasLfs && 'no git-lfs' },
  async () => {
    await using forge = await new Forge().start();
    const large = serveLarge('large content');
    forge.extra = large.serve;
    using own = new Repository({
      '.gitattributes': '*.bin filter=lfs diff=lfs merge=lfs -text\n',
      'a.bin': large.pointer,
    });
    await using host = await runWith(forge, own, [
      checkout(),
      run('head -c 7 a.bin'),
      checkout({ lfs: true, token: PAT, path: 'b' }),
      run('cat b/a.bin'),
    ]);
    assert.equal(host.finished.conclusion, 'success', host.text());
    assert.equal(host.lines(1).at(-1), 'version');
    assert.equal(host.lines(3).at(-1), 'large content');
    const batch = forge.requests.find(({ line }) => line.endsWith('/objects/batch'));
    assert.equal(batch?.authorization, `basic ${PAT_BASIC}`);
  },
);

test('what a machine lacks is said by the input that needs it', async () => {
  await using forge = await new Forge().start();
  using own = new Repository();
  const cases: [Record<string, string>, RegExp][] = [
    [{ lfs: 'true' }, /The input 'lfs' needs git-lfs, which was not found in PATH\. Install it/],
    [{ 'ssh-key': 'abcdef' }, /The input 'ssh-key' needs ssh, .* Install openssh-client/],
  ];
  for (const [inputs, sentence] of cases) {
    await using host = await runWith(forge, own, [
      run('mkdir bin; ln -s "$(command -v git)" bin/git; echo "PATH=$PWD/bin" >> "$GITHUB_ENV"'),
      checkout(inputs),
    ]);
    assert.match(host.finished.message, sentence);
  }
});
