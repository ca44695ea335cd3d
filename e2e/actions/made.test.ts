/**
 * Actions as people write them with GitHub's toolkit (`made/`), each bundled, in whole runs: what they
 * print, set, save, annotate and leave to each other.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  assertBuried,
  type Constellation,
  type EndedRun,
  type RunRequest,
  startConstellation,
} from '@onejob/testing';
import type { components } from '@octokit/openapi-types';
import { bundleMade } from './_mirror.ts';
import { annotationsOf, assertRows, rowsOf } from './_rows.ts';

type Label = components['schemas']['label'];

let all: Constellation;
let base = '';
let server: Server;
let address = '';
const TOKEN = 'the-token-of-the-greeter';

before(async () => {
  base = mkdtempSync(join(tmpdir(), 'onejob-actions-'));
  await bundleMade(join(base, 'mirror'));
  makeRelease();
  server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const agent = { actionMirrors: [join(base, 'mirror')], actionsUrls: [] };
  all = await startConstellation({ agent });
});
after(async () => {
  const { agentDirectory } = all;
  await all[Symbol.asyncDispose]();
  await assertBuried(agentDirectory);
  server.close();
  rmSync(base, { recursive: true, force: true });
});

/** The greeter, version 1.2.0, as its server gives it. */
function makeRelease(): void {
  const directory = join(base, 'greeter');
  mkdirSync(directory);
  writeFileSync(join(directory, 'greeter'), '#!/bin/sh\necho "greeter says hello to $1"\n', {
    mode: 0o755,
  });
  execFileSync('tar', ['-C', directory, '-czf', join(base, 'greeter.tgz'), '.']);
}

const LABELS = ['bug', 'good first issue', 'help wanted'];
const label = (name: string, id: number): Label => ({
  ...{ id, node_id: `L${id}`, url: `${address}/labels/${id}`, name, description: null },
  ...{ color: 'ededed', default: false },
});

/** What the API answers to a client of an issue's labels: "REST API endpoints for labels". */
function answerApi(request: IncomingMessage, response: ServerResponse, body: string): void {
  const url = new URL(request.url ?? '/', address);
  const json = (status: number, value: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
  if (request.headers.authorization !== `token ${TOKEN}`) {
    return json(401, { message: 'Bad credentials', status: '401' });
  }
  if (url.pathname !== '/repos/local/test/issues/7/labels') {
    return json(404, { message: 'Not Found', status: '404' });
  }
  if (request.method === 'POST') {
    const { labels } = JSON.parse(body) as { labels: string[] };
    return json(200, [...LABELS, ...labels].map(label));
  }
  const page = Number(url.searchParams.get('page') ?? '1');
  const size = Number(url.searchParams.get('per_page'));
  const shown = LABELS.map(label).slice((page - 1) * size, page * size);
  const next = `<${address}${url.pathname}?per_page=${size}&page=${page + 1}>; rel="next"`;
  json(200, shown, page * size < LABELS.length ? { link: next } : {});
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    const { url = '' } = request;
    if (url.startsWith('/repos/')) return answerApi(request, response, body);
    const isKnown = request.headers.authorization === `Bearer ${TOKEN}`;
    if (!isKnown) return void response.writeHead(401).end();
    if (url === '/releases.json') {
      const releases = ['1.2.0', '1.1.0', '2.0.0'].map((version) => ({ version, url: '/1.tgz' }));
      return void response.writeHead(200).end(JSON.stringify(releases));
    }
    if (url === '/1.tgz') return void response.end(readFileSync(join(base, 'greeter.tgz')));
    response.writeHead(404).end();
  });
}

const run = async (steps: string, more: Partial<RunRequest> = {}): Promise<EndedRun> =>
  await all.run({
    workflow: `on: [push, issues]\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n${steps}`,
    secrets: { TOKEN, KEY: 'never-shown' },
    ...more,
  });
test('@actions/core: inputs, outputs, state, annotations, groups, secrets, summary, in pre, main and post', async () => {
  const ended = await run(`
      - id: greet
        continue-on-error: true
        uses: acme/core-parts@v1
        with: { who: Ada, loud: TRUE, key: "\${{ secrets.KEY }}", lines: "one\\n\\n two \\n" }
      - env: { ALL: "\${{ toJSON(steps.greet) }}" }
        run: |
          echo "env $GREETED"
          echo "$ALL"
`);
  assertRows(ended, [
    'pre of Ada',
    'key ***',
    'state by pre',
    '##[group]Details',
    'inside of the group',
    '##[endgroup]',
    '##[notice]look here',
    '##[warning]Error: careful: 100%, really',
    'debugging false',
    'no token: Error message: Unable to get ACTIONS_ID_TOKEN_REQUEST_URL env variable',
    '##[error]Input does not meet YAML 1.2 "Core Schema" specification: who',
    'env Ada',
    '    "greeting": "HELLO ADA",',
    '    "shape": "{\\"loud\\":true,\\"lines\\":[\\"one\\",\\"two\\"]}",',
    '    "text": "a=b\\n<<EOF\\r\\n\\nend"',
    '  "outcome": "failure",',
    '  "conclusion": "success"',
    'post knows by pre and {"who":"Ada","lines":2}',
  ]);
  const steps = ended.run.jobs[0]?.steps.filter(({ index }) => index === 0) ?? [];
  assert.deepEqual(
    steps.map(({ phase, conclusion }) => [phase, conclusion]),
    [
      ['pre', 'success'],
      ['main', 'success'],
      ['post', 'success'],
    ],
  );
  assert.deepEqual(annotationsOf(ended).slice(0, 2), [
    {
      level: 'notice',
      message: 'look here',
      title: 'A title',
      file: 'src/a.js',
      line: 3,
      endLine: 4,
    },
    { level: 'warning', message: 'Error: careful: 100%, really' },
  ]);
  const [summary] = await all.api.summaries(ended.run.jobs[0]?.id ?? '');
  assert.match(summary?.markdown ?? '', /<h1>Greetings<\/h1>\n<table>.*Ada.*<pre lang="js">/s);
  assert.doesNotMatch(rowsOf(ended).join('\n'), /never-shown/);
});

test('@actions/exec, glob and io: programs, files and hashes are as hashFiles and the shell see them', async () => {
  const ended = await run(`
      - run: mkdir d; printf A > d/a.txt; printf B > b.txt
      - id: exec
        uses: acme/exec-tools@v1
        with: { script: 'echo "one $FROM"; echo two >&2; exit 3' }
      - run: echo 'it said "\${{ steps.exec.outputs.stdout }}" and \${{ steps.exec.outputs.exit-code }}'
      - id: sums
        uses: acme/file-sums@v1
        with: { patterns: "b.txt\\nd/**" }
      - run: |
          echo '\${{ steps.sums.outputs.files }}'
          [ '\${{ steps.sums.outputs.hash }}' = "\${{ hashFiles('b.txt', 'd/**') }}" ] && echo the same
          [ '\${{ steps.sums.outputs.hash }}' = "\${{ hashFiles('d/**', 'b.txt') }}" ] || echo in order
`);
  assertRows(ended, [
    /^\[command\]\S*\/sh -c echo "one \$FROM"; echo two >&2; exit 3$/,
    'err two, out one options',
    'piped FROM ITS INPUT',
    /^\[command\]\S*\/echo two words and more$/,
    'two words and more',
    /^refused: The process '\S*\/sh' failed with exit code 4$/,
    /^refused: Unable to locate executable file: no-such-program-anywhere$/,
    'it said "one options',
    '" and 3',
    'moved B',
    'left true false',
    /^bash at \/\S*\/bash, nothing at \[\]$/,
    '["b.txt","d/a.txt"]',
    'the same',
    'in order',
  ]);
  assert.equal(ended.run.conclusion, 'success');
});

test('@actions/tool-cache and http-client: a tool is listed, downloaded, cached, found again', async () => {
  const ended = await run(`
      - id: first
        uses: acme/setup-greeter@v1
        with: { server: "${address}", token: "\${{ secrets.TOKEN }}" }
      - run: greeter Ada; echo "first \${{ steps.first.outputs.cache-hit }}"
      - id: whole
        uses: acme/set-up-and-greet@v1
        with: { who: Grace, server: "${address}" }
      - run: echo "composite \${{ steps.whole.outputs.version }}, \${{ steps.whole.outputs.said }}"
      - id: none
        continue-on-error: true
        uses: acme/setup-greeter@v1
        with: { version: 9.x, server: "${address}", token: "\${{ secrets.TOKEN }}" }
`);
  assertRows(ended, [
    'the list came with 200',
    'greeter says hello to Ada',
    'first false',
    'who is Grace at v1',
    'greeter says hello to Grace',
    'it ended with 2',
    'composite 1.2.0, greeter says hello to Grace',
    '##[error]Error: no release of the greeter is 9.x',
  ]);
  assert.equal(ended.run.conclusion, 'success');
  assert.ok(!rowsOf(ended).includes('never'));
});

test('@actions/github: the context of the event, pages of an API, and the sentence where there is none', async () => {
  const event = { name: 'issues', payload: { action: 'opened', issue: { number: 7 } } };
  const steps = `
      - id: own
        continue-on-error: true
        uses: acme/label-issue@v1
        with: { label: new }
      - id: other
        uses: acme/label-issue@v1
        with: { label: new, github-api-url: "${address}", token: "\${{ secrets.TOKEN }}" }
      - run: echo "\${{ steps.own.outcome }}, \${{ steps.other.outputs.labels }}"
`;
  const ended = await run(steps, { event });
  assertRows(ended, [
    'issues opened by test',
    /^##\[error\]HttpError: onejob has no API of a forge in a job yet\. Give the action the address/,
    'issues opened by test',
    'local/test#7 has bug, good first issue, help wanted',
    'failure, bug good first issue help wanted new',
  ]);
});

test('@actions/cache and artifact: built once, then taken from the cache, and kept as an artifact', async () => {
  const event = {
    name: 'push',
    payload: { ref: 'refs/heads/main', repository: { default_branch: 'main' } },
  };
  const steps = `
      - id: build
        uses: acme/cached-build@v1
        with: { key: build-1, artifact: app }
      - run: echo "hit \${{ steps.build.outputs.cache-hit }}, $(cat built/app.txt)"
`;
  const first = await run(steps, { event, ref: 'refs/heads/main' });
  const { number } = first.run;
  assertRows(first, [`hit false, built in run ${number}`, 'saved build-1']);
  const again = await run(steps, { event, ref: 'refs/heads/main' });
  assertRows(again, [`hit true, built in run ${number}`, 'cache hit on build-1: not saved']);
});

test('a problem matcher that lies in an action finds problems until its post takes it away', async () => {
  const steps = `
      - uses: actions/checkout@v4
      - uses: acme/lint-report@v1
        with:
          report: "src/a.js\\n  3:7  error  No such thing  no-thing\\n  9:1  warning  Too long  max-len\\n"
`;
  const ended = await run(steps, { files: { 'src/a.js': '' } });
  const file = 'src/a.js';
  assert.deepEqual(annotationsOf(ended), [
    { level: 'error', message: 'No such thing', file, line: 3, column: 7 },
    { level: 'warning', message: 'Too long', file, line: 9, column: 1 },
  ]);
  assertRows(ended, ['  1:1  error  nobody looks any more  late']);
});
