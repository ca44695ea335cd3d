/**
 * Fifty microVMs at once, killed with their agent at five moments: while the first start, while half are
 * up, with all up, and twice in the middle of fifty burials. Their guests are a kernel, the real init and
 * a runner that only answers the link: booted in a second, idle afterwards.
 *
 * What stays is looked for twice: by our own names, and by an inventory of the whole machine that knows none
 * of them (tools/inventory.mjs), around the agent's death and the next one's start. Before it one machine
 * went the same way in the same directories: what agents and drivers keep there on purpose (their empty
 * directories, the blank disk, what they tried of the host) is there by then, and every new name is a leak.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureImage } from '@onejob/image';
import {
  assertBuried,
  assertNothingStayed,
  EXIT_SOMETHING_STAYED,
  runProgram,
  runWatched,
} from '@onejob/testing';
import type { MachineImage } from '../src/sandbox/driver.ts';
import { AgentLab } from './_agent-lab.ts';
import type { Round, Seen } from './_killed-among-machines.ts';
import type { Moment } from './_many-machines.ts';

const MACHINES = 50;
/** For what fifty would show no better. */
const FEW_MACHINES = 2;
const MOMENTS: readonly (Moment & { title: string })[] = [
  { title: 'the first machines start, the others wait for their turn', what: 'starting', count: 2 },
  { title: 'half of them are up, the others on their way', what: 'up', count: MACHINES / 2 },
  { title: 'all of them are up', what: 'up', count: MACHINES },
  { title: 'all are being buried, the first just was', what: 'buried', count: 1 },
  { title: 'half of them are buried', what: 'buried', count: MACHINES / 2 },
];
const PROGRAM = join(import.meta.dirname, '_killed-among-machines.ts');

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

const image = await buildIdleImage();

const roundIn = (lab: AgentLab, machines: number, dieAt: Moment): Round => ({
  stateDirectory: join(lab.root, 'state'),
  cacheDirectory: join(lab.root, 'cache'),
  controlPlaneSocketPath: lab.controlPlane.path,
  ...{ image, machines, dieAt, signal: 'SIGKILL' },
});

const argvOf = (round: Round): string[] => [PROGRAM, JSON.stringify(round)];

function seenIn(output: string): Seen {
  assert.match(output, /^\{/, `the round was to say what it saw; it said: ${output}`);
  return JSON.parse(output) as Seen;
}

/**
 * A round below an inventory of the machine. What an agent notes of things of others (first-seen.ts) is there
 * when there are such things, and says nothing of its own.
 */
async function runRound(round: Round, flags: readonly string[] = []) {
  const ignored = ['--ignore', join(round.stateDirectory, 'seen.json')];
  const watched = await runWatched(argvOf(round), [...ignored, ...flags]);
  return { ...watched, seen: seenIn(watched.output) };
}

/** One machine in these directories, for what is kept there on purpose. */
async function prepare(lab: AgentLab): Promise<void> {
  await lab.controlPlane.start();
  const { code, output } = await runProgram(argvOf(roundIn(lab, 1, { what: 'up', count: 1 })));
  assert.deepEqual({ code, failed: seenIn(output).failed }, { code: 0, failed: [] });
}

for (const { title, ...dieAt } of MOMENTS) {
  test(`fifty machines are killed with their agent, and the next one leaves the host as it was: ${title}`, async () => {
    await using lab = await AgentLab.open();
    await prepare(lab);
    const round = roundIn(lab, MACHINES, dieAt);
    const { seen, ...watched } = await runRound(round);
    assert.equal(seen.died[dieAt.what], dieAt.count);
    assert.equal(seen.unburied, MACHINES - seen.died.buried);
    const held = [...seen.groups, ...seen.held];
    assert.ok(held.length > seen.unburied, 'a kill leaves more than journals');

    assert.deepEqual(seen.failed, []);
    const buried = lab.controlPlane.announced.at(-1)?.buried;
    assert.equal(buried?.length, seen.unburied, 'told what was buried');
    await lab.nothingLeft();
    await assertBuried(round.stateDirectory);
    assert.deepEqual(seen.groups.filter(existsSync), [], 'control groups');
    assertNothingStayed(watched);
  });
}

test('the first machine of a host and its burial leave nothing outside of the directories they were given', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const round = roundIn(lab, 1, { what: 'up', count: 1 });
  assertNothingStayed(await runRound(round, ['--ignore', lab.root]));
});

/** What the inventory should say of a thing that we know by name; undefined: it is within another one. */
function lineOf(held: string): string | undefined {
  const [, process] = /^process (\d+) /.exec(held) ?? [];
  if (process !== undefined) return `processes: + ${process} `;
  const [, user] = /^user (.+)$/.exec(held) ?? [];
  if (user !== undefined) return `files: + /run/${user}`;
  const [, socket] = /^[0-9a-f]+: .* (\/.+)$/.exec(held) ?? [];
  return socket === undefined ? undefined : `sockets: + unix ${socket}`;
}

const CONTROLS = [
  {
    signal: 'SIGKILL',
    title: 'control: the inventory names what stays of killed machines without a next agent',
  },
  {
    signal: 'SIGSTOP',
    title: 'control: the inventory names what stays of living machines without a next agent',
  },
] as const;

for (const { signal, title } of CONTROLS) {
  test(title, async () => {
    await using lab = await AgentLab.open();
    await prepare(lab);
    const round = roundIn(lab, FEW_MACHINES, { what: 'up', count: FEW_MACHINES });
    const alone = { ...round, signal, controlPlaneSocketPath: undefined };
    const { code, seen, report } = await runRound(alone, ['--settle', '0']);
    assert.equal(code, EXIT_SOMETHING_STAYED, report);
    const files = ['sandboxes', 'journals'].flatMap((name) => {
      const place = join(round.stateDirectory, name);
      return readdirSync(place).map((one) => `files: + ${join(place, one)}`);
    });
    assert.equal(files.length, 2 * FEW_MACHINES, 'a directory and a journal each');
    const processes = seen.held.filter((one) => one.startsWith('process '));
    assert.equal(processes.length >= FEW_MACHINES, signal === 'SIGSTOP', 'monitors');
    const expected = [
      ...files,
      ...seen.groups.map((path) => `control groups: + ${path}`),
      ...seen.held.flatMap((one) => lineOf(one) ?? []),
    ];
    assert.deepEqual(
      expected.filter((line) => !report.includes(line)),
      [],
      report,
    );

    const agent = await lab.agent({ slots: 0 });
    await agent.announced;
    await lab.nothingLeft();
    await assertBuried(round.stateDirectory);
  });
}
