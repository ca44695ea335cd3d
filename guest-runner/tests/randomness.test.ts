/** A runner that lived in a snapshot would give every restore the same random values: it asks for none. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { runToEnd } from './_host.ts';
import { call, makeTask, run } from './_task.ts';

const TRAP = new URL('./_random-trap.mjs', import.meta.url).pathname;

test('a runner asks no random source in its whole life, whatever its job does', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run(
        'echo "a=b" >> "$GITHUB_OUTPUT"; echo "::warning::careful"; echo "# Hi" >> "$GITHUB_STEP_SUMMARY"',
      ),
      run(
        'echo "::add-mask::hidden"; node -e "console.log(crypto.randomUUID())"; echo "X=y" >> "$GITHUB_ENV"',
      ),
      run('curl -s --max-time 5 --proxy "$http_proxy" http://nowhere.test/ || true'),
      run('exit 3'),
      run('echo after', { condition: call('always') }),
    ]),
    environment: { NODE_OPTIONS: `--import=${TRAP}` },
  });
  assert.equal(host.finished.reason, 'step_failed');
  assert.match(host.text(), /[0-9a-f]{8}-[0-9a-f]{4}-4/, 'a process of the job may ask');
  assert.doesNotMatch(host.stderr, /RANDOM/);
});

test('control: the trap hears of every way to ask', () => {
  const asks = [
    "require('crypto').randomBytes(1)",
    "require('crypto').randomUUID()",
    'crypto.randomUUID()',
    'crypto.getRandomValues(new Uint8Array(1))',
    'Math.random()',
    "import('node:crypto').then(({ randomInt }) => randomInt(9))",
    "require('crypto').generateKeyPairSync('ed25519')",
  ];
  for (const ask of asks) {
    const heard = execFileSync('sh', [
      '-c',
      '"$0" --import="$1" -e "$2" 2>&1',
      process.execPath,
      TRAP,
      ask,
    ]);
    assert.match(heard.toString(), /^RANDOM /, ask);
  }
});
