/** What the firecracker driver says of a host on which something is missing, old or does not run. */
import assert from 'node:assert/strict';
import { readdirSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { randomBytes } from 'node:crypto';
import type { FirecrackerDriverConfig } from '../src/drivers/firecracker/config.ts';
import { createFirecrackerDriver } from '../src/drivers/firecracker/driver.ts';
import { listUserClaims } from '../src/host/sandbox-user.ts';
import { FirecrackerLab, whyNoJail } from './_firecracker-lab.ts';
import type { StandInOptions } from './_firecracker-options.ts';

const place = await FirecrackerLab.open();
after(() => place.close());

/** The driver's words, and a look for what its trial left. */
async function noteOf(
  options: Partial<StandInOptions>,
  config: Partial<FirecrackerDriverConfig> = {},
): Promise<string> {
  const hostMarker = `test-${randomBytes(8).toString('hex')}`;
  const { works, auto, note } = await place.driver(hostMarker, options, config).probe();
  assert.equal(auto, false);
  const isLeft = (name: string): boolean => name.startsWith('firecracker-');
  assert.deepEqual(readdirSync(place.directory).filter(isLeft), []);
  assert.deepEqual(await listUserClaims(hostMarker), []);
  return `${works ? 'works' : 'does not'}: ${note}`;
}

test('what is not installed is named, with where it comes from', async () => {
  const programs = place.programs();
  const [gone, relative] = ['/nowhere/firecracker', './jailer'];
  const missing = async (settings: object): Promise<string> => await noteOf({}, { settings });
  assert.match(
    await missing({ firecrackerPath: gone, jailerPath: '/nowhere/jailer' }),
    /^does not: Not installed: \/nowhere\/firecracker, \/nowhere\/jailer\. .*\/usr\/local\/bin/,
  );
  assert.match(
    await missing({ ...programs, firecrackerPath: gone }),
    /^does not: Not installed: \/nowhere\/firecracker\. /,
  );
  assert.match(
    await missing({ ...programs, jailerPath: relative }),
    /\.\/jailer of jailer is not abs/,
  );
  const renamed = join(place.directory, 'vmm');
  symlinkSync(programs.jailerPath, renamed);
  assert.match(
    await missing({ ...programs, firecrackerPath: renamed }),
    /does not hold "firecracker".*rename it/,
    'also behind a link',
  );
});

test('what an operator did not say is looked for in the directories of the system', async (context) => {
  const driver = createFirecrackerDriver({ hostMarker: 'test', cacheDirectory: place.directory });
  const { works, note } = await driver.probe();
  if (works || !note.startsWith('Not installed')) return context.skip('Firecracker is installed');
  assert.match(note, /^Not installed: firecracker, jailer\. Debian has no package/);
});

test('versions that are too old, or not of one release, are told apart', async () => {
  const old = { version: '1.7.0', jailerVersion: '1.7.0' };
  assert.match(await noteOf(old), /^does not: Firecracker 1\.7\.0 is too old: from 1\.8 on/);
  const oldest = { version: '0.25.2', jailerVersion: '0.25.2' };
  assert.match(await noteOf(oldest), /0\.25\.2 is too old/);
  assert.match(
    await noteOf({ jailerVersion: '1.10.0' }),
    /Firecracker is 1\.10\.1 and its jailer 1\.10\.0: install both of one release/,
  );
  const { firecrackerPath } = place.programs();
  const settings = { firecrackerPath, jailerPath: '/bin/false' };
  assert.match(await noteOf({}, { settings }), /false does not start: /);
});

test('a host whose KVM does not run a guest in time is told from one without KVM', async (context) => {
  if (whyNoJail !== undefined) return context.skip(whyNoJail);
  const obstacle = () => Promise.resolve<string | undefined>(undefined);
  const tries = (triesMs: number[]) => ({ kvm: { obstacle, triesMs } });
  assert.match(
    await noteOf({}),
    /^works: Firecracker 1\.10\.1, KVM; .*stand-in only.*never .* auto/,
  );
  assert.match(
    await noteOf({ fault: { kind: 'tiny_guest', how: 'hangs' } }, tries([200, 300])),
    /^does not: Firecracker runs no guest here: .* not done after 0\.3 s/,
  );
  assert.match(
    await noteOf({ fault: { kind: 'tiny_guest', how: 'silent' } }),
    /^does not: Firecracker runs no guest here: a tiny guest did not run: Running Firecracker/,
  );
  const none = () => Promise.resolve('this host has no /dev/kvm');
  assert.match(
    await noteOf({}, { kvm: { obstacle: none, triesMs: [] } }),
    /^does not: Firecracker 1\.10\.1 runs no guest without KVM: this host has no \/dev\/kvm/,
  );
});

test('a name that leads to the program is followed, and the jail bears the name behind it', async (context) => {
  if (whyNoJail !== undefined) return context.skip(whyNoJail);
  const programs = place.programs();
  const link = join(place.directory, 'fc-link');
  symlinkSync(programs.firecrackerPath, link);
  assert.equal(basename(programs.firecrackerPath), 'firecracker');
  assert.match(await noteOf({}, { settings: { ...programs, firecrackerPath: link } }), /^works: /);
});
