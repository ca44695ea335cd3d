/** Uploads of snapshots whose end comes after git has read all it wants. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request as startRequest } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gitIn, packOf, Platform } from './_platform.ts';

/** Time in which git surely has ended when it has all of a small pack. */
const LAG_MS = 500;

/** A body in pieces, with a pause before each but the first. */
async function upload(platform: Platform, sha: string, pieces: readonly Uint8Array[]) {
  const request = startRequest({
    socketPath: platform.controlPlane.apiSocketPath,
    method: 'POST',
    path: `/api/v1/repositories/acme/app/snapshots?sha=${sha}`,
    headers: {
      'content-type': 'application/x-git-pack',
      authorization: `Bearer ${platform.controlPlane.apiToken}`,
    },
  });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  answered.catch(() => {});
  for (const piece of pieces) {
    request.write(piece);
    await sleep(LAG_MS);
  }
  request.end();
  const [answer] = await answered;
  const text = Buffer.concat(await answer.toArray()).toString();
  return { status: answer.statusCode, text };
}

function makePack(platform: Platform): { sha: string; pack: Uint8Array } {
  const directory = join(platform.directory, 'src');
  mkdirSync(directory);
  gitIn(directory, 'init', '-q', '-b', 'main');
  writeFileSync(join(directory, 'file.txt'), 'text\n');
  gitIn(directory, 'add', '-A');
  gitIn(directory, 'commit', '-q', '-m', 'one');
  const sha = gitIn(directory, 'rev-parse', 'HEAD');
  return { sha, pack: packOf(directory, sha) };
}

test('a request may still be sent when git has read all it wants, or refuses', async () => {
  await using platform = await Platform.start();
  const { sha, pack } = makePack(platform);
  const refused = await upload(platform, sha, [Buffer.from('no pack at all'), pack, pack]);
  assert.deepEqual([refused.status, platform.faults], [422, []], refused.text);
  assert.match(refused.text, /snapshot_rejected/);
  const taken = await upload(platform, sha, [pack]);
  assert.deepEqual([taken.status, platform.faults], [200, []], taken.text);
});
