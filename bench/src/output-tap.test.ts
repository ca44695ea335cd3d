/** What lies between the measured agent and its control plane changes nothing and misses nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { OutputTap } from './output-tap.ts';

test('all is passed on both ways, and a text is seen when its last byte goes by', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-tap-'));
  const target = join(directory.path, 'target.sock');
  const echo = createServer((socket) => socket.pipe(socket)).listen(target);
  await once(echo, 'listening');
  {
    const path = join(directory.path, 'tap.sock');
    await using tap = await OutputTap.open(path, target);
    const agent = connect(path);
    const say = async (text: string): Promise<string> => {
      agent.write(text);
      return String(((await once(agent, 'data')) as [Buffer])[0]);
    };
    const saw = tap.saw('first-output-7');
    assert.equal(await say(`${'x'.repeat(1000)}first-out`), `${'x'.repeat(1000)}first-out`);
    const beforeMs = Date.now();
    assert.equal(await say('put-'), 'put-');
    assert.equal(await say('7 and more'), '7 and more');
    assert.ok((await saw) >= beforeMs);
    agent.destroy();
  }
  echo.close();
});
