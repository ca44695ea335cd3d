import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SANDBOX_USERS } from '../../host/sandbox-user.ts';
import { findConfinement } from './confinement.ts';

const held = (note: string): string => /^confined to (.*?);/.exec(note)?.[1] ?? '';

test('where no jail works QEMU is not run as root, unless the operator says so', async (context) => {
  const cacheDirectory = mkdtempSync(join(tmpdir(), 'onejob-confinement-'));
  context.after(() => rmSync(cacheDirectory, { recursive: true }));
  const trial = {
    ...{ qemuPath: '/nowhere/qemu-system-x86_64', qemuVersion: '7.2.0', cacheDirectory },
    ...({ accelerator: 'tcg', hostMarker: 'test-confinement', users: SANDBOX_USERS } as const),
  };
  if (process.getuid?.() === 0) {
    await assert.rejects(findConfinement(trial, {}), {
      code: 'driver_unavailable',
      message: /in a jail only, and none works here: .*ONEJOB_QEMU_SETTINGS/,
    });
  }
  const { jail, note, lacks } = await findConfinement(trial, { unconfined: 'allow' });
  assert.equal(jail, undefined);
  assert.match(note, /; less than could be: no namespaces/);
  assert.equal(note, `confined to ${held(note)}; ${lacks}`, 'a job is told what is missing');
  if (process.getuid?.() === 0) assert.match(note, /QEMU is root on this host/);
});
