/**
 * How many jobs a second agents can take: one offer and one lease each, through the real agent
 * protocol on its socket, several agents at once, on PGlite and on Postgres. Agents and control
 * plane share one process here, so the agents' own work is in the number. Nothing is adopted or run;
 * the caps are high, because they would end the measurement, and counted for every lease as always.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { type ControlPlane, startControlPlane } from '@onejob/control-plane';
import { type CreateRun, newSandboxId } from '@onejob/protocol';
import { AGENT_CREDENTIAL_HEADER, AgentService } from '@onejob/protocol/agent-service';
import { median } from './statistics.ts';

const WORKERS = 8;
/** Slots an agent says it has free: what one poll may bring. */
const SLOTS = 4;
const LEGS = 200;
/** Each run belongs to a tenant of its own: leases of one tenant take turns, for its cap. */
const TENANTS = 5;
const ROUNDS = 3;
const TARGET_PER_SECOND = 500;

const legs = Array.from({ length: LEGS }, (_, leg) => leg).join(', ');
const WORKFLOW = `on: push
jobs:
  many:
    runs-on: bench
    strategy: { matrix: { leg: [${legs}] } }
    steps:
      - run: 'true'
`;

export async function benchClaims(): Promise<Record<string, unknown>> {
  const pglite = await measure({ kind: 'pglite' });
  const binaries = findPostgres();
  return {
    conditions: {
      workers: WORKERS,
      slotsPerPoll: SLOTS,
      tenants: TENANTS,
      jobs: LEGS * TENANTS,
      rounds: ROUNDS,
      durable: 'fsync on; offers and leases commit without waiting for the disk',
      oneProcess: 'agents and control plane share it',
    },
    pglite: summary(pglite),
    postgres:
      binaries === undefined
        ? 'not installed: apt-get install postgresql'
        : besideTarget(await measureOnPostgres(binaries)),
  };
}

const besideTarget = (perSecond: number[]): Record<string, unknown> => ({
  ...summary(perSecond),
  targetPerSecond: TARGET_PER_SECOND,
  isTargetMet: median(perSecond) >= TARGET_PER_SECOND,
});

const summary = (perSecond: number[]): Record<string, unknown> => ({
  claimsPerSecond: Math.round(median(perSecond)),
  all: perSecond.map(Math.round),
});

type Database = { kind: 'pglite' } | { kind: 'postgres'; url: string };

/** Claims a second, one number a round, each round with fresh jobs on the same database. */
async function measure(database: Database): Promise<number[]> {
  const directory = await mkdtemp(join(tmpdir(), 'oj-bench-'));
  try {
    await using controlPlane = await startControlPlane({
      dataDirectory: join(directory, 'data'),
      database,
      tenantDefaults: { concurrentJobs: LEGS * ROUNDS, jobsPerFiveMinutes: LEGS * ROUNDS },
      // Nobody heartbeats here.
      leaseMs: 3_600_000,
    });
    const tenants = Array.from({ length: TENANTS }, (_, tenant) => `bench-${tenant}`);
    const { sha, pack } = await makeSnapshot(directory);
    for (const tenant of tenants) {
      await callApi(controlPlane, `/repositories/${tenant}/claims/snapshots?sha=${sha}`, pack);
    }
    const perSecond: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const tenant of tenants) await callApi(controlPlane, '/runs', runOf(tenant, sha));
      perSecond.push(await claimAll(controlPlane, round));
    }
    return perSecond;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function claimAll(controlPlane: ControlPlane, round: number): Promise<number> {
  const sessions: Http2SessionManager[] = [];
  const client = (credential?: string) => {
    const session = new Http2SessionManager('http://bench.local', undefined, {
      createConnection: () => connect(controlPlane.agentSocketPath),
    });
    sessions.push(session);
    return createClient(
      AgentService,
      createConnectTransport({
        httpVersion: '2',
        baseUrl: 'http://bench.local',
        sessionManager: session,
        interceptors: [
          (next) => async (req) => {
            if (credential !== undefined) req.header.set(AGENT_CREDENTIAL_HEADER, credential);
            return await next(req);
          },
        ],
      }),
    );
  };
  const agents = await Promise.all(
    Array.from({ length: WORKERS }, async (_, worker) => {
      const said = await client().announce({
        hostName: `bench-${round}-${worker}`,
        labels: ['bench'],
        drivers: [{ name: 'process', works: true }],
        slots: SLOTS,
      });
      return client(said.agentCredential);
    }),
  );
  let claimed = 0;
  const startMs = performance.now();
  await Promise.all(
    agents.map(async (agent) => {
      while (claimed < LEGS * TENANTS) {
        const { offers } = await agent.pollOffers({ freeSlots: SLOTS, waitMs: 0 });
        for (const { jobId, attempt } of offers) {
          const sandboxId = newSandboxId();
          await agent.lease({ jobId, attempt, sandboxId, requestKey: randomUUID() });
          claimed += 1;
        }
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  for (const session of sessions) session.abort();
  return claimed / seconds;
}

const runOf = (tenant: string, sha: string): CreateRun => ({
  repository: `${tenant}/claims`,
  sha,
  ref: 'refs/heads/main',
  workflows: [],
  event: { name: 'push', payload: {} },
  actor: 'bench',
  secrets: {},
  vars: {},
  env: {},
  inputs: {},
  jobs: [],
  matrix: {},
  driver: 'process',
  keepSandbox: false,
});

/** A commit with the workflow, and its pack. */
async function makeSnapshot(directory: string): Promise<{ sha: string; pack: Buffer }> {
  const work = join(directory, 'work');
  const workflows = join(work, '.github', 'workflows');
  await mkdir(workflows, { recursive: true });
  await writeFile(join(workflows, 'many.yml'), WORKFLOW);
  const identity = ['-c', 'user.name=bench', '-c', 'user.email=bench@example.org'];
  const git = (argv: string[], input = ''): Buffer =>
    execFileSync('git', [...identity, ...argv], { cwd: work, input });
  git(['init', '-q', '-b', 'main']);
  git(['add', '-A']);
  git(['commit', '-q', '-m', 'bench']);
  const sha = git(['rev-parse', 'HEAD']).toString('utf8').trim();
  const pack = git(['pack-objects', '--revs', '--stdout', '-q'], `${sha}\n`);
  return { sha, pack };
}

async function callApi(
  controlPlane: ControlPlane,
  path: string,
  body: object | Buffer,
): Promise<void> {
  const isPack = Buffer.isBuffer(body);
  const [status, text] = await new Promise<[number, string]>((resolve, reject) => {
    const req = request({
      socketPath: controlPlane.apiSocketPath,
      path: `/api/v1${path}`,
      method: 'POST',
      agent: false,
      headers: {
        authorization: `Bearer ${controlPlane.apiToken}`,
        'content-type': isPack ? 'application/x-git-pack' : 'application/json',
      },
    });
    req.once('error', reject);
    req.once('response', (res) => {
      let answer = '';
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => (answer += chunk));
      res.once('end', () => resolve([res.statusCode ?? 0, answer]));
    });
    req.end(isPack ? body : JSON.stringify(body));
  });
  if (status >= 300) throw new Error(`${path}: ${status} ${text.slice(0, 500)}`);
}

/** Debian's folder of Postgres programs; undefined where the package is not installed. */
function findPostgres(): string | undefined {
  const packages = '/usr/lib/postgresql';
  if (!existsSync(packages)) return undefined;
  const folders = readdirSync(packages)
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(packages, version, 'bin'));
  return folders.find((folder) => existsSync(join(folder, 'initdb')));
}

async function measureOnPostgres(binaries: string): Promise<number[]> {
  const directory = await mkdtemp(join(tmpdir(), 'oj-bench-pg-'));
  // Postgres refuses to run as root: then it runs as its package's user.
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'postgres']).toString());
  const owner = userInfo().uid === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : undefined;
  if (owner !== undefined) chownSync(directory, owner.uid, owner.gid);
  const identity = owner ?? {};
  const data = join(directory, 'data');
  execFileSync(
    join(binaries, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C'],
    { ...identity, cwd: directory, stdio: 'pipe' },
  );
  // Ends with its input, so that it never outlives the benchmark, however that dies.
  const keeper = '"$@" & server=$!; read -r _; kill -INT "$server"; wait "$server"';
  const postgres = [join(binaries, 'postgres'), '-D', data, '-k', directory];
  const server = spawn('sh', ['-c', keeper, 'sh', ...postgres, '-c', 'listen_addresses='], {
    ...identity,
    cwd: directory,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(server, 'exit');
  try {
    const isReady = join(binaries, 'pg_isready');
    for (let tries = 0; tries < 200; tries += 1) {
      try {
        execFileSync(isReady, ['-q', '-h', directory]);
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    const url = `postgres://postgres@localhost/postgres?host=${encodeURIComponent(directory)}`;
    return await measure({ kind: 'postgres', url });
  } finally {
    server.stdin.end();
    await ended;
    await rm(directory, { recursive: true, force: true });
  }
}
