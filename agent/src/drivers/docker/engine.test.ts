/** What goes wrong between the agent and an engine on a busy host is an answer, never the agent's end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, rmdirSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkLeaksAfterEach } from '../../../tests/_leaks.ts';
import { tarOf } from '../../host/unpacked-image.ts';
import { Engine } from './engine.ts';
import { importImage } from './image-import.ts';

checkLeaksAfterEach();

/** Longer than tar needs to fail. */
const BUSY_MS = 300;

/** Takes the processor from the event loop: afterwards timers come before whatever else has happened. */
function block(ms: number): void {
  for (const begin = performance.now(); performance.now() - begin < ms;);
}

/** An engine that has no image and takes every one. */
async function startEngine() {
  await using undo = new AsyncDisposableStack();
  const directory = undo.use(await mkdtempDisposable(join(tmpdir(), 'onejob-engine-'))).path;
  const socketPath = join(directory, 'engine.sock');
  const server = createServer((request, response) => {
    response.statusCode = request.method === 'GET' ? 404 : 200;
    request.resume().on('error', () => {});
    request.once('end', () => response.end('{}'));
  });
  undo.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server.listen(socketPath), 'listening');
  const owned = undo.move();
  return {
    ...{ directory, socketPath },
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

test('a deadline that passes before the engine is connected to fails the question, which is not asked', async () => {
  await using place = await startEngine();
  let isAsked = false;
  const asked = new Engine(place.socketPath).ask(
    'say who it is',
    async (docker) => {
      isAsked = true;
      return await (docker.info() as Promise<unknown>);
    },
    1,
  );
  const failed = assert.rejects(asked, {
    code: 'driver_unavailable',
    message: /does not answer: it did not say who it is in 1 ms/,
  });
  block(20);
  await failed;
  assert.equal(isAsked, false);
});

/** An engine of a host so busy that whatever was begun has ended before the engine is asked. */
class LateEngine extends Engine {
  /** When it is about to be asked for something. */
  onAsk: (what: string) => void = () => {};

  override async ask<T>(...wish: Parameters<typeof Engine.prototype.ask<T>>): Promise<T> {
    this.onAsk(wish[0]);
    await sleep(BUSY_MS);
    return await super.ask(...wish);
  }
}

test('an image that cannot be packed fails its import, however late the engine is asked', async () => {
  await using place = await startEngine();
  const digest = 'a'.repeat(64);
  const unpacked = join(place.directory, 'unpacked', digest);
  mkdirSync(unpacked, { recursive: true });
  const engine = new LateEngine(place.socketPath);
  engine.onAsk = (what) => {
    if (what === 'import the guest image') rmdirSync(unpacked);
  };
  const image = { digest, kernelPath: '', initrdPath: '', rootPath: '' };
  await assert.rejects(importImage(engine, image, place.directory), {
    code: 'boot_failed',
    message: `${unpacked} could not be packed (tar ended with 2).`,
  });
});

test('what tar did not pack whole does not look whole, also where its end is read before its exit', async () => {
  const tar = tarOf('/nowhere');
  const read = assert.rejects(buffer(tar), { code: 'boot_failed', message: /tar ended with 2/ });
  block(BUSY_MS);
  await read;
});
