import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Remains } from './attack.ts';
import { contentSearch } from './content.ts';
import { lookAfter, watchRemains, type Search } from './remains.ts';

const newId = (): string => `sb${randomBytes(8).toString('hex')}`;

/** What a job has written, looked for in this directory alone. */
const contentIn = (directory: string): Search['content'] => ({
  ...contentSearch(newId(), { dataDirectory: directory, cacheDirectory: undefined }),
  places: [{ directory, sinceMs: undefined, crosses: true }],
  isWritten: true,
});

const searchIn = (directory: string, more: Partial<Search> = {}): Search => ({
  ...{ dataDirectory: join(directory, 'platform'), sandboxId: newId(), files: new Set() },
  content: contentIn(join(directory, 'platform')),
  engine: undefined,
  ...more,
});

/** Longer than one look takes, shorter than the wait for the next. */
const WATCH_MS = 300;

/** What the host finds while a sandbox runs. */
async function seen(kinds: readonly Remains[], search: Search): Promise<Map<Remains, string>> {
  const found = new Map<Remains, string>();
  await watchRemains(kinds, search, found, AbortSignal.timeout(WATCH_MS));
  return found;
}

const after = async (kind: Remains, search: Search) =>
  (await lookAfter([kind], search, new Map())).get(kind)?.after.outcome;

const CONTAINER = 'c0ffee'.repeat(10);
const LAYER = 'facade'.repeat(10);

/** An engine's directory as overlay2 has it, with an image, and a container of this sandbox. */
function layOutEngine(
  directory: string,
  { sandboxId, content }: Search,
): NonNullable<Search['engine']> {
  const data = join(directory, 'data');
  const write = (path: string, text: string): void => {
    mkdirSync(join(data, path, '..'), { recursive: true });
    writeFileSync(join(data, path), text);
  };
  write('overlay2/image/diff/bin/sh', 'of an image');
  write(`image/overlay2/layerdb/mounts/${CONTAINER}/mount-id`, LAYER);
  write(`containers/${CONTAINER}/config.v2.json`, JSON.stringify({ Name: `/onejob-${sandboxId}` }));
  write(`overlay2/${LAYER}/diff/work/content`, `${content.word}\n`);
  return { directory, names: new Set(), firstAtMs: Infinity };
}

test("what a container's job wrote is found in the directory of its engine, while it runs and afterwards", async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-remains-'));
  const plain = searchIn(directory.path);
  const search = { ...plain, engine: layOutEngine(directory.path, plain) };
  const found = await seen(['content'], search);
  assert.match(found.get('content') ?? '', new RegExp(search.content.word));
  // The engine forgot the container, and its layer is still there.
  rmSync(join(directory.path, 'data', 'containers'), { recursive: true });
  assert.equal(await after('content', search), 'through');
  rmSync(join(directory.path, 'data', 'overlay2', LAYER), { recursive: true });
  assert.equal(await after('content', search), 'stopped');
});

test('a container is found by its sandbox, and afterwards by the names that its engine gave it', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-remains-'));
  const plain = searchIn(directory.path);
  const search = { ...plain, engine: layOutEngine(directory.path, plain) };
  const data = join(directory.path, 'data');
  const found = await seen(['container'], search);
  for (const name of [`containers/${CONTAINER}`, `mounts/${CONTAINER}`, `overlay2/${LAYER}`]) {
    assert.ok(found.get('container')?.includes(name), found.get('container'));
  }
  const rest = [`containers/${CONTAINER}`, `image/overlay2/layerdb/mounts/${CONTAINER}`];
  for (const name of rest) {
    rmSync(join(data, name), { recursive: true });
    assert.equal((await seen(['container'], search)).size, 1, name);
  }
  rmSync(join(data, 'overlay2', LAYER), { recursive: true });
  assert.equal(await after('container', search), 'stopped');
});

test("another sandbox's container is not this one's", async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-remains-'));
  const engine = layOutEngine(directory.path, searchIn(directory.path));
  const found = await seen(['container', 'content'], searchIn(directory.path, { engine }));
  assert.deepEqual([...found.keys()], []);
});

const both = async (search: Search) => {
  const found = await seen(['content'], search);
  return (await lookAfter(['content'], search, found)).get('content');
};

test('what a job wrote is found wherever its platform keeps files, and nothing is nothing', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-remains-'));
  const search = searchIn(directory.path);
  const place = join(search.dataDirectory, 'repositories', 'local');
  mkdirSync(place, { recursive: true });
  const clean = await both(search);
  assert.deepEqual([clean?.before.outcome, clean?.after.outcome], ['stopped', 'stopped']);
  const next = {
    ...search,
    content: { ...search.content, isLookedThrough: false, restUntilMs: 0 },
  };
  writeFileSync(join(place, 'kept'), `x${search.content.word}x`);
  const dirty = await both(next);
  assert.deepEqual([dirty?.before.outcome, dirty?.after.outcome], ['through', 'through']);
});

test('a look that had to end before it saw everything was not one that found nothing', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-remains-'));
  const search = searchIn(directory.path);
  mkdirSync(search.dataDirectory);
  writeFileSync(join(search.dataDirectory, 'large'), 'x'.repeat(100_000));
  const content = { ...search.content, limits: { bytes: 50_000, ms: 10_000 } };
  const looked = await both({ ...search, content });
  for (const one of [looked?.before, looked?.after]) {
    assert.ok(one?.outcome === 'not tried', one?.outcome);
    assert.match(one.why, /more than 50000 bytes below/);
  }
});

test('while a job has not said that it wrote there is nothing to find, and so nothing held', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-remains-'));
  const search = searchIn(directory.path);
  const content = { ...search.content, isWritten: false };
  assert.equal((await both({ ...search, content }))?.before.outcome, 'not tried');
});

/** Made with the tools that an agent has, by the names that it gives; gone by the second. */
const NETWORK = [
  {
    kind: 'interface',
    what: 'an interface that has the id in its alias',
    make: (id: string) =>
      `ip link add test${id.slice(-8)} type veth && ip link set test${id.slice(-8)} alias onejob:x:${id}`,
    remove: (id: string) => `ip link delete test${id.slice(-8)}`,
  },
  {
    kind: 'interface',
    what: 'an interface whose name holds what fits of the id',
    make: (id: string) => `ip link add oj${id.slice(2, 15)} type veth`,
    remove: (id: string) => `ip link delete oj${id.slice(2, 15)}`,
  },
  {
    kind: 'packet-rules',
    what: 'a table of packet rules',
    make: (id: string) => `nft add table inet onejob_${id}`,
    remove: (id: string) => `nft delete table inet onejob_${id}`,
  },
  {
    kind: 'packet-rules',
    what: "a rule for its interface in a table of somebody else's",
    make: (id: string) =>
      `nft "table inet other_${id.slice(-8)} { chain c { iifname oj${id.slice(2, 15)} accept; }; }"`,
    remove: (id: string) => `nft delete table inet other_${id.slice(-8)}`,
  },
  {
    kind: 'network',
    what: 'a network namespace',
    make: (id: string) => `ip netns add onejob-${id}`,
    remove: (id: string) => `ip netns delete onejob-${id}`,
  },
] as const;

const canMakeNetworks =
  process.getuid?.() === 0 && ['/usr/sbin/nft', '/usr/sbin/ip'].every((path) => existsSync(path));

function runOnHost(script: string): void {
  const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

for (const { kind, what, make, remove } of NETWORK) {
  test(`${what} is found while it is there, and no longer`, async (t) => {
    if (!canMakeNetworks) return t.skip('it takes root, iproute2 and nftables');
    const search = searchIn('/nowhere');
    const { sandboxId } = search;
    assert.equal(await after(kind, search), 'stopped', 'before');
    runOnHost(make(sandboxId));
    try {
      assert.ok((await seen([kind], search)).has(kind), what);
    } finally {
      runOnHost(remove(sandboxId));
    }
    assert.equal(await after(kind, search), 'stopped', 'afterwards');
  });
}
