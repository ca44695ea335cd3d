/**
 * A program: everything beyond the host, in a network namespace of its own. Every address is its
 * own there. A line of its input asks what came; it ends with its input.
 *
 *     node far-host.ts <secret>      <- "ready"; then, a line for each line: { arrivals, peak }
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenEverywhere } from './listeners.ts';

/** A connection that the kernel has made already is counted before the answer. */
const SETTLE_MS = 100;

const listeners = await listenEverywhere(process.argv[2] ?? '', true);
process.stdout.write('ready\n');
for await (const _line of createInterface({ input: process.stdin })) {
  await sleep(SETTLE_MS);
  const answer = { arrivals: listeners.take(), peak: listeners.takePeak() };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
