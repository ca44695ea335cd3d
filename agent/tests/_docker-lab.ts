/** Driver docker on an engine of the tests' own, and one job's script in a container of it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import type { DockerSettings } from '../src/drivers/docker/config.ts';
import { createDockerDriver } from '../src/drivers/docker/driver.ts';
import { Engine } from '../src/drivers/docker/engine.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';
import { startTestEngine, type TestEngine } from '@onejob/testing/container-engine';
import { runScript, SandboxLab, type Conversation } from './_sandbox-lab.ts';

export type DockerLab = {
  readonly own: TestEngine & { readonly engine: Engine };
  readonly image: MachineImage;
  readonly guestRunnerPath: string;
  readonly cacheDirectory: string;
  readonly newLab: () => Promise<SandboxLab>;
  readonly createDriver: (lab: { hostMarker: string }, settings?: DockerSettings) => SandboxDriver;
  /** What the script said, run as a job of its own that must succeed. */
  readonly run: (script: string, settings?: DockerSettings) => Promise<string>;
  /** The same, and all else that was said. */
  readonly converse: (script: string, settings?: DockerSettings) => Promise<Conversation>;
};

/** Everything of it is gone after the test file. */
export async function openDockerLab(startEngine = startTestEngine): Promise<DockerLab> {
  const cacheDir = join(homedir(), '.cache', 'onejob');
  const image: MachineImage = await ensureImage({ cacheDir });
  const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });
  const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-docker-cache-'));
  after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
  const started = await startEngine();
  after(async () => await started[Symbol.asyncDispose]());
  const own = { ...started, engine: new Engine(started.socketPath) };
  const createDriver: DockerLab['createDriver'] = ({ hostMarker }, settings = {}) =>
    createDockerDriver({
      hostMarker,
      cacheDirectory,
      nodePath: process.execPath,
      ownDirectories: [],
      settings: { socketPath: own.socketPath, ...settings },
    });
  const newLab = async (): Promise<SandboxLab> => await SandboxLab.open(image, guestRunnerPath);
  const converse: DockerLab['converse'] = async (script, settings) => {
    await using lab = await newLab();
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab, settings).provision(sandbox.request, sandbox.stack);
    const said = await runScript(handle, script);
    await handle.kill();
    await lab.bury(sandbox);
    assert.equal(said.finished?.conclusion, 'success', `${said.log}${said.finished?.message}`);
    return { ...said, log: said.log.split('##[endgroup]\n').at(-1) ?? '' };
  };
  const run: DockerLab['run'] = async (script, settings) => (await converse(script, settings)).log;
  return { own, image, guestRunnerPath, cacheDirectory, newLab, createDriver, run, converse };
}
