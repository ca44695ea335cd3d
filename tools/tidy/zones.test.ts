import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSource } from './source-file.ts';
import { checkImports, checkWiring } from './zones.ts';

/** The specifiers that are refused for a file of this path that imports all of `specifiers`. */
function refused(file: string, ...specifiers: string[]): string[] {
  const text = specifiers.map((one) => `import ${JSON.stringify(one)};`).join('\n');
  return checkImports(readSource(file, text)).map(({ subject }) => subject);
}

test('the protocol imports its schema library and nothing else', () => {
  const specifiers = ['typebox', 'node:fs', '@onejob/workflow', 'zod', './ids.ts'];
  assert.deepEqual(refused('protocol/src/a.ts', ...specifiers), [
    'node:fs',
    '@onejob/workflow',
    'zod',
  ]);
});

test('the pure zones import no I/O of Node', () => {
  assert.deepEqual(refused('masking/src/a.ts', 'node:buffer', 'node:fs'), ['node:fs']);
  assert.deepEqual(refused('workflow/src/a.ts', 'node:util', 'node:timers'), ['node:timers']);
});

test('the agent imports neither the control plane, nor the planner, nor a database driver', () => {
  const specifiers = ['@onejob/masking', '@onejob/control-plane', '@onejob/workflow', 'pg'];
  assert.deepEqual(refused('agent/src/a.ts', ...specifiers), [
    '@onejob/control-plane',
    '@onejob/workflow',
    'pg',
  ]);
});

test('the control plane imports neither the agent nor the guest runner', () => {
  const specifiers = ['kysely', '@onejob/workflow', '@onejob/agent', '@onejob/guest-runner'];
  assert.deepEqual(refused('control-plane/src/a.ts', ...specifiers), [
    '@onejob/agent',
    '@onejob/guest-runner',
  ]);
});

test("the guest runner imports no package but the zones' own", () => {
  assert.deepEqual(
    refused('guest-runner/src/a.ts', 'node:http2', '@onejob/workflow/evaluate', 'yaml'),
    ['yaml'],
  );
});

test('only tests import the testing zone, and the image where their zone does not', () => {
  assert.deepEqual(refused('agent/src/a.ts', '@onejob/image'), ['@onejob/image']);
  assert.deepEqual(refused('agent/tests/a.ts', '@onejob/image'), []);
  assert.deepEqual(refused('agent/src/a.ts', '@onejob/testing'), ['@onejob/testing']);
  assert.deepEqual(refused('agent/src/a.test.ts', '@onejob/testing'), []);
  assert.deepEqual(refused('agent/tests/_host.ts', '@onejob/testing'), []);
});

test('a test imports other zones no more than its zone does', () => {
  assert.deepEqual(refused('agent/src/a.test.ts', '@onejob/control-plane'), [
    '@onejob/control-plane',
  ]);
});

test('a relative import stays in its zone', () => {
  const specifiers = ['../b.ts', '../../masking/src/index.ts', '../../../tools/x.ts'];
  assert.deepEqual(refused('agent/src/host/a.ts', ...specifiers), ['../../../tools/x.ts']);
});

test('a zone that is not in the table is refused', () => {
  assert.equal(checkImports(readSource('novelty/src/a.ts', 'export {};')).length, 1);
});

test('server code is wired into the command line in one file', () => {
  const wiring = (name: string) => readSource(`cli/src/${name}.ts`, "import '@onejob/agent';");
  assert.deepEqual(checkWiring([wiring('embedded')]), []);
  assert.equal(checkWiring([wiring('embedded'), wiring('list')]).length, 2);
});
