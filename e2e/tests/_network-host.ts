/** A command line on a host of its own with a public network (_public-place.ts), for jobs in network mode `nat`. */
import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

/** Namespaces of its own, whose processes end with it. */
const OWN = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const TOOLS = ['/usr/sbin/nft', '/usr/sbin/conntrack', '/dev/net/tun'];
const TIMEOUT_MS = 120_000;

export type NetworkHost = {
  readonly line: CommandLine;
  /** Of the checkout. */
  readonly directory: string;
  /** Undefined: jobs can have such a network here. */
  readonly whyNot: string | undefined;
  /** Runs a program there. */
  readonly run: (
    words: readonly string[],
    environment?: NodeJS.ProcessEnv,
    timeoutMs?: number,
  ) => SpawnSyncReturns<string>;
};

/** With a checkout of one workflow, and the image built; all of it ends with the file of tests. */
export async function openNetworkHost(workflow: string): Promise<NetworkHost> {
  const checkout = makeCheckout({ '.github/workflows/ci.yml': workflow });
  const { directory } = checkout;
  const line = await CommandLine.prepared();
  after(async () => {
    await checkout[Symbol.asyncDispose]();
    await line[Symbol.asyncDispose]();
  });
  before(async () => {
    const { code, stderr } = await line.run(['image', 'build']);
    assert.equal(code, 0, stderr);
  });
  const isFit = process.getuid?.() === 0 && TOOLS.every((path) => existsSync(path));
  const place = [process.execPath, join(import.meta.dirname, '_public-place.ts')];
  return {
    line,
    directory,
    whyNot: isFit ? undefined : 'it takes root, nftables and conntrack',
    run: (words, environment = {}, timeout = TIMEOUT_MS) =>
      spawnSync('unshare', [...OWN, ...place, ...words], {
        cwd: directory,
        env: { ...process.env, ...environment },
        encoding: 'utf8',
        timeout,
      }),
  };
}
