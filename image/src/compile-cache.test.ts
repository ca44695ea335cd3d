import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFile,
  mkdir,
  mkdtempDisposable,
  open,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeCompileCache } from './compile-cache.ts';
import { RUNNER_FILES } from './guest/runner-script.ts';
import { findGuestNode } from './root-filesystem.ts';
import { bundleGuestRunner, START_ENTRY } from './runner-bundle.ts';
import { makeRunTool } from './tool.ts';

const DIGEST_BYTES = 32;
/** Prints what a Node sees of how it was started. */
const CHILD = [
  '-p',
  "JSON.stringify([process.execArgv, process.env, fs.readdirSync('/proc/self/fd')])",
];
const RUNNER = `"use strict";
const { execFileSync } = require("node:child_process");
const child = execFileSync(process.execPath, ${JSON.stringify(CHILD)}, { encoding: "utf8" });
function lazy() { return "lazily"; }
console.log(JSON.stringify({ cache: module.compileCache, child, lazy: lazy() }));
`;

interface Seen {
  cache: string;
  child: string;
  lazy: string;
}

interface Guest extends AsyncDisposable {
  directory: string;
  node: string;
  cachePath: string;
  /** Runs the start program as init would, without variables. */
  start(...flags: string[]): Seen;
}

async function makeCache(node: string, bundle: string, target: string): Promise<void> {
  await using log = await mkdtempDisposable(join(tmpdir(), 'onejob-log-'));
  await using lock = await open(join(log.path, 'lock'), 'a');
  const setting = { logPath: join(log.path, 'log'), lockFd: lock.fd, signal: undefined };
  await writeCompileCache(makeRunTool(setting), { node, bundle, target });
}

/** The runner's directory of a guest, with `RUNNER` as the bundle. */
async function makeGuest(runner = RUNNER): Promise<Guest> {
  const scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-start-'));
  const directory = join(scratch.path, 'opt');
  await mkdir(directory);
  const { path } = await findGuestNode();
  const start = await bundleGuestRunner({ cacheDir: join(scratch.path, 'c'), entry: START_ENTRY });
  const startPath = join(directory, RUNNER_FILES.start);
  await copyFile(start.path, startPath);
  const bundle = join(directory, RUNNER_FILES.bundle);
  await writeFile(bundle, runner);
  const cachePath = join(directory, RUNNER_FILES.cache);
  await makeCache(path, bundle, cachePath);
  return {
    directory,
    node: path,
    cachePath,
    start: (...flags) => {
      const said = execFileSync(path, [...flags, startPath], { env: {}, encoding: 'utf8' });
      return JSON.parse(said) as Seen;
    },
    [Symbol.asyncDispose]: () => scratch.remove(),
  };
}

test('the start program runs the bundle from its cache, and nothing of it reaches a child', async () => {
  await using guest = await makeGuest();
  const seen = guest.start();
  assert.equal(seen.cache, 'accepted');
  assert.equal(seen.lazy, 'lazily');
  const plain = execFileSync(guest.node, CHILD, { env: {}, encoding: 'utf8' });
  assert.equal(seen.child, plain);
});

test('a cache that is missing, damaged or of another bundle is not used, and the bundle runs', async () => {
  await using guest = await makeGuest();
  const good = await readFile(guest.cachePath);
  const flipped = (at: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at]! ^= 0x55;
    return bytes;
  };
  const middle = DIGEST_BYTES + Math.floor((good.length - DIGEST_BYTES) / 2);
  const damaged: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    'shorter than a digest': good.subarray(0, DIGEST_BYTES - 1),
    'only a digest': good.subarray(0, DIGEST_BYTES),
    'cut off': good.subarray(0, middle),
    longer: Buffer.concat([good, Buffer.alloc(1)]),
    'another digest': flipped(0),
    'one byte in V8 data': flipped(middle),
    'one byte at the end': flipped(good.length - 1),
  };
  for (const [what, bytes] of Object.entries(damaged)) {
    await writeFile(guest.cachePath, bytes);
    const { cache, lazy } = guest.start();
    assert.deepEqual([cache, lazy], ['unusable', 'lazily'], what);
  }
  await rm(guest.cachePath);
  assert.equal(guest.start().cache, 'unusable');

  // V8 itself compares no more than the length of the source
  await writeFile(guest.cachePath, good);
  const other = RUNNER.replace('"lazily"', '"LAZILY"');
  await writeFile(join(guest.directory, RUNNER_FILES.bundle), other);
  const { cache, lazy } = guest.start();
  assert.deepEqual([cache, lazy], ['unusable', 'LAZILY']);
});

test('a cache that V8 rejects costs nothing but time', async () => {
  await using guest = await makeGuest();
  const { cache, lazy } = guest.start('--no-opt');
  assert.deepEqual([cache, lazy], ['rejected', 'lazily']);
});

test('a bundle that fails is told with its own file and line', async () => {
  await using guest = await makeGuest(
    '"use strict";\nfunction fail() {\n  throw new Error("x");\n}\nfail();\n',
  );
  const start = join(guest.directory, RUNNER_FILES.start);
  const result = spawnSync(guest.node, [start], { encoding: 'utf8' });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /at fail \(\/opt\/onejob\/guest-runner\.cjs:3:9\)/);
});

test('the same bundle gives the same cache, whatever its path and whoever makes it', async () => {
  await using guest = await makeGuest();
  const digestOf = async (path: string): Promise<string> =>
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  const first = await digestOf(guest.cachePath);
  const elsewhere = join(guest.directory, 'another/place');
  await mkdir(elsewhere, { recursive: true });
  await copyFile(join(guest.directory, RUNNER_FILES.bundle), join(elsewhere, 'b.cjs'));
  const before = { ...process.env };
  Object.assign(process.env, { NODE_OPTIONS: '--max-lazy', TZ: 'Asia/Tokyo', LANG: 'de_DE.UTF-8' });
  try {
    for (let round = 0; round < 3; round += 1) {
      await makeCache(guest.node, join(elsewhere, 'b.cjs'), join(elsewhere, 'cache'));
      assert.equal(await digestOf(join(elsewhere, 'cache')), first);
    }
  } finally {
    for (const name of ['NODE_OPTIONS', 'TZ', 'LANG']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
});
