import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const DEMO = join(import.meta.dirname, '..', 'src', 'demo.ts');

test('the demo shows four machines, a hidden secret and closed walls in five lines', async (t) => {
  const temporary = mkdtempSync(join(tmpdir(), 'onejob-test-demo-'));
  t.after(() => rmSync(temporary, { recursive: true }));
  const secret = randomBytes(20).toString('hex');
  const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) => {
    const environment = { ...process.env, TMPDIR: temporary, ONEJOB_DEMO_SECRET: secret };
    execFile(process.execPath, [DEMO], { env: environment }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, output: stdout + stderr }),
    );
  });
  assert.equal(code, 0, output);
  assert.match(output, /^\[test \(UTC\)\] \| ℹ pass 5$/m);
  assert.match(output, /^\[package\] \| the token is \*\*\*$/m);
  assert.match(output, /^\[package\] \| and in base64: \*\*\*$/m);
  assert.match(output, /^\[walls\] \| refused: 169\.254\.169\.254 /m);
  assert.match(output, /^\[walls\] \| refused: 10\.0\.0\.1 /m);
  assert.match(output, /^\[walls\] \| no way out but the guard$/m);
  for (const form of [secret, Buffer.from(secret).toString('base64').slice(0, -4)]) {
    assert.ok(!output.includes(form), 'the secret is shown');
  }

  const lines = output.trimEnd().split('\n').slice(-5);
  assert.match(lines[0] ?? '', /^4 jobs ran in 4 machines, with kernel (\d\S+) \(this host: /);
  assert.ok(lines[0]?.includes(release()));
  assert.match(lines[1] ?? '', /output: [0-9a-f]{12}\.$/);
  assert.match(lines[2] ?? '', /shown as \*\*\* in [2-9] rows/);
  assert.match(lines[3] ?? '', /refused .*169\.254\.169\.254, 10\.0\.0\.1, \d/);
  assert.match(lines[4] ?? '', /^Next: /);
  assert.deepEqual(readdirSync(temporary), [], 'nothing is left');
});
