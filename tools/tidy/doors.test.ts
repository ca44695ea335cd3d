import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkEnvironment, checkGuestRandomness, checkPurity, checkSpawning } from './doors.ts';
import { readSource } from './source-file.ts';

test('process.env is refused in every spelling outside a config room', () => {
  const spellings = [
    'export const a = process.env.HOME;',
    "export const a = process['env'].HOME;",
    'export const a = globalThis.process.env;',
    'const { env } = process;',
    "import { env } from 'node:process';",
  ];
  for (const text of spellings) {
    assert.equal(checkEnvironment(readSource('agent/src/a.ts', text)).length, 1, text);
    assert.deepEqual(checkEnvironment(readSource('agent/src/config/env.ts', text)), [], text);
    assert.deepEqual(checkEnvironment(readSource('agent/src/a.test.ts', text)), [], text);
  }
});

test('a word in a comment or a string is no use of the environment', () => {
  const text = '// process.env\nexport const a = "process.env";';
  assert.deepEqual(checkEnvironment(readSource('agent/src/a.ts', text)), []);
});

test('processes start in the rooms for it only', () => {
  const text = "import { spawn } from 'node:child_process';";
  const late = "const { spawn } = await import('child_process');";
  for (const source of [text, late]) {
    assert.equal(checkSpawning(readSource('agent/src/link/a.ts', source)).length, 1);
    assert.equal(checkSpawning(readSource('control-plane/src/a.ts', source)).length, 1);
    assert.deepEqual(checkSpawning(readSource('agent/src/host/a.ts', source)), []);
    assert.deepEqual(checkSpawning(readSource('control-plane/src/git/a.ts', source)), []);
    assert.deepEqual(checkSpawning(readSource('agent/tests/a.ts', source)), []);
  }
  const types = "import type { ChildProcess } from 'node:child_process';";
  assert.deepEqual(checkSpawning(readSource('agent/src/link/a.ts', types)), []);
});

test('the guest runner takes nothing from chance', () => {
  const offenders = [
    'export const a = Math.random();',
    "import { randomUUID } from 'node:crypto';",
    "import crypto from 'node:crypto'; crypto.randomBytes(8);",
    'crypto.getRandomValues(new Uint8Array(8));',
    'globalThis.crypto.randomUUID();',
    "import { connect } from 'node:tls';",
    "const https = await import('https');",
  ];
  for (const text of offenders) {
    assert.equal(
      checkGuestRandomness(readSource('guest-runner/src/link/a.ts', text)).length,
      1,
      text,
    );
    assert.equal(
      checkGuestRandomness(readSource('guest-runner/src/steps/a.ts', text)).length,
      1,
      text,
    );
    assert.deepEqual(checkGuestRandomness(readSource('agent/src/a.ts', text)), [], text);
  }
  const hashing = "import { createHash } from 'node:crypto';";
  assert.deepEqual(checkGuestRandomness(readSource('guest-runner/src/a.ts', hashing)), []);
});

test('the pure zones have no clock, process, chance or I/O', () => {
  const offenders = [
    'Date.now();',
    'new Date();',
    'performance.now();',
    'process.cwd();',
    'Math.random();',
    "fetch('x');",
    'setTimeout(() => {}, 1);',
  ];
  for (const text of offenders) {
    assert.equal(checkPurity(readSource('workflow/src/a.ts', text)).length, 1, text);
    assert.deepEqual(checkPurity(readSource('agent/src/a.ts', text)), [], text);
  }
  assert.deepEqual(checkPurity(readSource('workflow/src/a.ts', 'new Date(0);')), []);
});
