/** `onejob run`: the checkout's workflows, each job in a machine of its own. */
import type { Plan } from '@onejob/protocol';
import { takeSnapshot } from '../checkout/snapshot.ts';
import { terminalStyle } from '../config/environment.ts';
import type { Platform } from '../embedded/platform.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { showGraph } from '../show/graph.ts';
import { showPlan } from '../show/plan.ts';
import { painter } from '../show/style.ts';
import { exitCodeOf } from '../show/summary.ts';
import { followRuns } from './follow-runs.ts';
import { Interrupts } from './interrupt.ts';
import {
  chooseView,
  isLive,
  makeReady,
  openForRun,
  requestBody,
  sayCreated,
  sendOnce,
  sendSnapshot,
  toStderr,
  waitForOthers,
} from './launch.ts';
import { openAndAsk } from './open-and-ask.ts';
import { isPlanOnly, readRunOptions, type RunFlags } from './run-options.ts';

export async function run(flags: RunFlags, dataDirectory: string | undefined): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const options = await readRunOptions(flags, interrupts.signal);
  await using snapshot = await takeSnapshot(process.cwd());
  interrupts.signal.throwIfAborted();
  const body = await requestBody(flags, options, snapshot);
  const planOnly = isPlanOnly(flags);
  let write = toStderr;
  const open = async (): Promise<Platform> =>
    await openForRun({ ...flags, withAgent: !planOnly }, dataDirectory, interrupts.signal, (line) =>
      write(line),
    );
  const { platform: opened, answer } = await openAndAsk(open, async (owner) => {
    if (!planOnly) await makeReady(owner, flags.driver, interrupts);
    await sendSnapshot(owner.api, snapshot);
    if (planOnly) return { plan: await owner.api.plan(body) };
    interrupts.signal.throwIfAborted();
    return { created: await sendOnce(async () => await owner.api.createRuns(body)) };
  });
  await using platform = opened;
  // The platform has it: of a command that is killed later, nothing is left in the checkout's name.
  await snapshot[Symbol.asyncDispose]();
  if ('plan' in answer) return printPlan(flags, answer.plan);

  const { api, joined, broken } = platform;
  const view = chooseView(flags.json);
  if (isLive(flags.json)) write = (line) => view.say(line);
  const dirty = !snapshot.clean;
  const runs = sayCreated(answer.created, body.event.name, view, { dirty, joined });
  view.begin(runs);
  for (const warning of runs.flatMap((one) => one.warnings)) view.warn(warning);
  const ended = await followRuns({ api, view, interrupts, broken }, runs).finally(
    () => (write = toStderr),
  );
  view.finish(ended);
  if (!joined) await waitForOthers(platform, interrupts);
  return exitCodeOf(ended);
}

function printPlan(flags: RunFlags, plan: Plan): ExitCode {
  const paint = painter(terminalStyle(process.stdout).color);
  const { isTTY, columns: width } = process.stdout;
  const columns = isTTY ? width : undefined;
  const show = (): string =>
    flags.graph ? showGraph(plan, paint, columns) : showPlan(plan, paint, flags.dryRun);
  const text = flags.json ? JSON.stringify(plan) : show();
  process.stdout.write(`${text}\n`);
  return EXIT.success;
}
