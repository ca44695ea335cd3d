/**
 * An agent's end among its machines, what it held then by our own names, and the start of the next agent. A
 * program, so that an inventory of the whole machine can stand around all of it. Says what it saw as one
 * line of JSON. It removes nothing: whatever goes, the next agent has buried.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, ofSandboxes } from '@onejob/testing';
import { startAgent } from '../src/agent.ts';
import { cgroupPaths, findCgroups } from '../src/host/cgroup.ts';
import { readJournals } from '../src/sandbox/journal.ts';
import { filesBelow } from './_leaks.ts';
import type { ManyMachines, Moment } from './_many-machines.ts';

export type Round = ManyMachines & {
  /** The next agent announces itself here; undefined: there is no next one. */
  controlPlaneSocketPath: string | undefined;
};
export type Seen = {
  /** How far the machines were. */
  died: Record<Moment['what'], number>;
  /** Sandboxes with a journal after the agent's end. */
  unburied: number;
  /** Control groups of theirs. */
  groups: string[];
  /** Processes, sockets, users and files of theirs. */
  held: string[];
  /** What the next agent could not remove. */
  failed: string[];
};

const round = JSON.parse(process.argv[2] ?? '') as Round;
const { stateDirectory, cacheDirectory } = round;
const journalsDirectory = join(stateDirectory, 'journals');

async function endAmongMachines(): Promise<Seen['died']> {
  const program = join(import.meta.dirname, '_many-machines.ts');
  const agent = spawn(process.execPath, [program, JSON.stringify(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = once(agent.stdout, 'data') as Promise<[Buffer]>;
  if (round.signal === 'SIGKILL') {
    const [, signal] = (await once(agent, 'exit')) as [number | null, string | null];
    assert.equal(signal, 'SIGKILL', 'it was to die by its own hand');
    await eventually('every monitor had died with its agent', () => {
      const alive = ofSandboxes(stateDirectory).filter((one) => one.startsWith('process '));
      return alive.length === 0 || undefined;
    });
  }
  const [counts] = await said;
  // One that halts stays behind, with its machines.
  agent.unref();
  agent.stdout.destroy();
  return JSON.parse(counts.toString()) as Seen['died'];
}

/** Control groups of every sandbox with a journal. */
async function listGroups(): Promise<string[]> {
  const found = await findCgroups();
  const ids = readJournals(journalsDirectory).map(({ sandboxId }) => sandboxId);
  const groups = 'version' in found ? ids.flatMap((id) => cgroupPaths(found, id)) : [];
  return groups.filter(existsSync);
}

const listFiles = (): string[] =>
  ['sandboxes', 'journals'].flatMap((name) => filesBelow(join(stateDirectory, name)));

/** Starts it, lets it be announced, and stops it; answers with what it could not remove. */
async function startNext(controlPlaneSocketPath: string): Promise<string[]> {
  await using agent = await startAgent({
    ...{ stateDirectory, cacheDirectory, controlPlaneSocketPath, guestRunnerPath: '' },
    image: async () => await Promise.reject(new Error('it takes no job')),
    drivers: ['process'],
    slots: 0,
  });
  await agent.announced;
  return agent.reaped.failed;
}

const died = await endAmongMachines();
const seen: Omit<Seen, 'failed'> = {
  died,
  unburied: readJournals(journalsDirectory).length,
  groups: await listGroups(),
  held: [...ofSandboxes(stateDirectory), ...listFiles()],
};
const next = round.controlPlaneSocketPath;
const failed = next === undefined ? [] : await startNext(next);
process.stdout.write(`${JSON.stringify({ ...seen, failed } satisfies Seen)}\n`);
