import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDebugSwitch } from './debug-switch.ts';

test('only the switches of debug logging, with the value of a switch, are nothing to hide', () => {
  assert.ok(isDebugSwitch('ACTIONS_STEP_DEBUG', 'true'));
  assert.ok(isDebugSwitch('actions_runner_debug', ' False\n'));
  for (const [name, value] of [
    ['ACTIONS_STEP_DEBUG', 'hunter2'],
    ['ACTIONS_STEP_DEBUG', ''],
    ['ACTIONS_STEP_DEBUG_', 'true'],
    ['DEPLOY', 'true'],
  ] as const) {
    assert.ok(!isDebugSwitch(name, value), name);
  }
});
