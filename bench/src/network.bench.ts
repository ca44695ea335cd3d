/**
 * What a sandbox's way out costs to make and to take away, 1 and 50 at once: of `link` its two
 * sockets, of `nat` a namespace with interfaces, addresses, routes, rules and a resolver; then, apart, what
 * an adoption adds: the way out, and a follower of flows. In a network and mount namespace of its own, so that nothing of the host takes part.
 * Target: 50 networks of `nat` are ready within 1.5 s.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listenForCarrier } from '@onejob/agent/carrier-socket';
import { tryOwnNetworks } from '@onejob/agent/network-trial';
import { median, rounded } from './statistics.ts';

const ROUNDS = 5;
const MANY = 50;
const TARGET_MS = 1_500;
const CARRIERS = ['control', 'bulk'];

type Times = { readyMs: number; openedMs?: number; buriedMs: number };

async function tryLinks(count: number): Promise<Times> {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-links-'));
  const { signal } = new AbortController();
  const startedAt = performance.now();
  const names = Array.from({ length: count }, (_, index) =>
    CARRIERS.map((carrier) => join(directory.path, `${index}-${carrier}`)),
  ).flat();
  const listening = await Promise.all(
    names.map(async (name) => await listenForCarrier(name, signal)),
  );
  const readyMs = performance.now() - startedAt;
  for (const one of listening) await one[Symbol.asyncDispose]();
  return { readyMs, buriedMs: performance.now() - startedAt - readyMs };
}

async function measure(trial: (count: number) => Promise<Times>): Promise<Record<string, unknown>> {
  await trial(1); // tools and code are in memory from here on
  const report: Record<string, unknown> = {};
  for (const count of [1, MANY]) {
    const times: Times[] = [];
    for (let round = 0; round < ROUNDS; round += 1) times.push(await trial(count));
    report[`of${count}`] = {
      readyMs: rounded(median(times.map(({ readyMs }) => readyMs))),
      openedMs: rounded(median(times.map(({ openedMs }) => openedMs ?? 0))),
      buriedMs: rounded(median(times.map(({ buriedMs }) => buriedMs))),
    };
  }
  return report;
}

/** Run as a program, in the namespaces. */
async function measureHere(): Promise<void> {
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  const link = await measure(tryLinks);
  const nat = await measure(async (count) => await tryOwnNetworks(count, 'bench-of-networks'));
  process.stdout.write(`${JSON.stringify({ link, nat })}\n`);
}

export function benchNetwork(): Record<string, unknown> {
  if (process.getuid?.() !== 0) return { skipped: 'it takes root to make network namespaces' };
  const words = ['--net', '--mount', process.execPath, import.meta.filename];
  const said = execFileSync('unshare', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 2] });
  const { link, nat } = JSON.parse(said) as Record<string, Record<string, { readyMs: number }>>;
  const readyMs = nat?.[`of${MANY}`]?.readyMs ?? Number.NaN;
  return {
    conditions: { rounds: ROUNDS },
    ...{ link, nat },
    targetMs: TARGET_MS,
    isTargetMet: readyMs < TARGET_MS,
  };
}

if (import.meta.main) await measureHere();
