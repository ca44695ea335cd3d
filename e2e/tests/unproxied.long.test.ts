/** Programs that know no proxy, in sandboxes without a network interface. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestEngine, whyNoEngine } from '@onejob/testing/container-engine';
import { checkUnproxied, runUnproxied } from './_unproxied.ts';

test('every program reaches by TCP what the guard allows, and hears at once of what it does not', async () => {
  const run = await runUnproxied({ driver: 'qemu' });
  checkUnproxied(run);
  assert.match(run.text, /^icmp: Network is unreachable$/m);
});

test('in a container, too, every program reaches by TCP what the guard allows', async (context) => {
  const whyNot = whyNoEngine();
  if (whyNot !== undefined) return context.skip(whyNot);
  await using engine = await startTestEngine();
  const docker = { socketPath: engine.socketPath };
  const run = await runUnproxied({ driver: 'docker', agent: { docker } });
  checkUnproxied(run);
  // What its engine leaves of root may not ping at all.
  assert.match(run.text, /^icmp: (?:Operation not permitted|Network is unreachable)$/m);
});

test('in gVisor, too, every program reaches by name what the guard allows', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('gVisor takes root here');
  const run = await runUnproxied({ driver: 'gvisor' });
  checkUnproxied(run, ['No route to host', 'Connection refused']);
  assert.match(run.text, /^icmp: Operation not permitted$/m);
});
