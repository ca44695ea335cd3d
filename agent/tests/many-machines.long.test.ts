/**
 * Fifty microVMs at once, killed with their agent at five moments: while the first start, while half are
 * up, with all up, and twice in the middle of fifty burials. Their guests are a kernel, the real init and
 * a runner that only answers the link: booted in a second, idle afterwards.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { ensureImage } from '@onejob/image';
import { assertBuried, eventually, ofSandboxes } from '@onejob/testing';
import { cgroupPaths, findCgroups } from '../src/host/cgroup.ts';
import { readJournals } from '../src/sandbox/journal.ts';
import type { MachineImage } from '../src/sandbox/driver.ts';
import { AgentLab } from './_agent-lab.ts';
import type { ManyMachines, Moment } from './_many-machines.ts';

const MACHINES = 50;
const MOMENTS: readonly (Moment & { title: string })[] = [
  { title: 'the first machines start, the others wait for their turn', what: 'starting', count: 2 },
  { title: 'half of them are up, the others on their way', what: 'up', count: MACHINES / 2 },
  { title: 'all of them are up', what: 'up', count: MACHINES },
  { title: 'all are being buried, the first just was', what: 'buried', count: 1 },
  { title: 'half of them are buried', what: 'buried', count: MACHINES / 2 },
];
const directory = await mkdtemp(join(tmpdir(), 'onejob-many-'));
after(async () => await rm(directory, { recursive: true, force: true }));

/** The real kernel and init, and for its runner a program that answers the link and idles. */
async function buildIdleImage(): Promise<MachineImage> {
  const image = await ensureImage({ cacheDir: join(homedir(), '.cache', 'onejob') });
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'usr/local/bin'), { recursive: true });
  const source = join(import.meta.dirname, '_idle-runner.c');
  const flags = ['-static', '-Os', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...flags, '-o', join(tree, 'usr/local/bin/node'), source]);
  const rootPath = join(directory, 'idle.erofs');
  execFileSync('mkfs.erofs', ['-d0', rootPath, tree], { stdio: 'ignore' });
  return { ...image, digest: 'idle', rootPath };
}

/** Where an agent's state is, what it says before its death; it dies by its own hand. */
async function dieAmongMachines(told: ManyMachines): Promise<Record<Moment['what'], number>> {
  const program = join(import.meta.dirname, '_many-machines.ts');
  const agent = spawn(process.execPath, [program, JSON.stringify(told)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = text(agent.stdout);
  const [, signal] = (await once(agent, 'exit')) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL', `it was to die by its own hand; it said: ${await said}`);
  return JSON.parse(await said) as Record<Moment['what'], number>;
}

/** Control groups of every sandbox with a journal. */
async function listGroups(stateDirectory: string): Promise<string[]> {
  const found = await findCgroups();
  const ids = readJournals(join(stateDirectory, 'journals')).map(({ sandboxId }) => sandboxId);
  const groups = 'version' in found ? ids.flatMap((id) => cgroupPaths(found, id)) : [];
  return groups.filter(existsSync);
}

const image = await buildIdleImage();

for (const { title, ...dieAt } of MOMENTS) {
  test(`an agent with ${MACHINES} machines is killed while ${title}: the next one leaves nothing`, async () => {
    await using lab = await AgentLab.open();
    await lab.controlPlane.start();
    const stateDirectory = join(lab.root, 'state');
    const cacheDirectory = join(directory, 'cache');
    const told = { stateDirectory, cacheDirectory, image, machines: MACHINES, dieAt };
    const died = await dieAmongMachines(told);
    assert.equal(died[dieAt.what], dieAt.count);
    await eventually('every monitor had died with its agent', () => {
      const alive = ofSandboxes(stateDirectory).filter((one) => one.startsWith('process '));
      return alive.length === 0 || undefined;
    });
    const unburied = readJournals(join(stateDirectory, 'journals')).length;
    assert.equal(unburied, MACHINES - died.buried);
    const groups = await listGroups(stateDirectory);
    const held = [...groups, ...ofSandboxes(stateDirectory), ...lab.left()];
    assert.ok(held.length > unburied, 'a kill leaves more than journals');

    const agent = await lab.agent({ slots: 0 });
    await agent.announced;
    assert.deepEqual(agent.reaped.failed, []);
    assert.equal(lab.controlPlane.announced[0]?.buried.length, unburied, 'told what was buried');
    await lab.nothingLeft();
    await assertBuried(stateDirectory);
    assert.deepEqual(groups.filter(existsSync), [], 'control groups');
  });
}
