/**
 * A Docker engine of the tests' own, of which nothing is left afterwards. The machine's own engine, if
 * it has one, is never asked.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startContainerEngine, type ContainerEngine } from '@onejob/prove';

export { findProgram, whyNoEngine } from '@onejob/prove';
export type TestEngine = AsyncDisposable & Pick<ContainerEngine, 'socketPath'>;

/** It writes a key to /etc/docker, and makes a directory in /opt. */
const APART = `
  mount -t tmpfs tmpfs /run; mkdir /run/upper /run/work
  mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
  if [ -d /opt ]; then mount -t tmpfs tmpfs /opt; fi
`;

export async function startTestEngine(): Promise<TestEngine> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'onejob-engine-'));
  undo.defer(async () => await rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const group = `onejob-test-${randomBytes(6).toString('hex')}`;
  const { socketPath } = undo.use(await startContainerEngine({ directory, group, prepare: APART }));
  const owned = undo.move();
  return { socketPath, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}
