/**
 * Controls on the host of the proof itself, without a sandbox: for what a driver that shares the real
 * host's kernel must not do. Runs in the scene only, where stand-ins are in the place of settings.
 */
import { readFileSync } from 'node:fs';
import type { SandboxAttack } from './attack.ts';
import type { ProbeReport } from './evidence.ts';
import { MUCH_MEMORY_MIB, SEEN_CHARACTERS, SPARE_MEMORY_MIB } from './limits.ts';
import { runWhole } from './scene/tools.ts';

export type Bare = {
  reports: Map<string, ProbeReport>;
  /** What scripts printed for the log. */
  lines: string[];
  untried: Map<string, string>;
};

export async function runOnHost(attacks: readonly SandboxAttack[]): Promise<Bare> {
  const bare: Bare = { reports: new Map(), lines: [], untried: new Map() };
  for (const { id, class: kind, probes } of attacks) {
    const probe = probes.at(-1)?.probe;
    if (probe === undefined || !('script' in probe)) continue;
    const why = kind === 'resources' ? whyNotLent() : undefined;
    if (why !== undefined) {
      bare.untried.set(id, why);
      continue;
    }
    const { output, errors } = await runWhole(probe.script);
    if (probe.do === 'print') bare.lines.push(...output.split('\n'));
    const seen = probe.do === 'print' ? 'printed' : output.slice(0, SEEN_CHARACTERS);
    bare.reports.set(id, { seen, said: errors.slice(0, SEEN_CHARACTERS) });
  }
  return bare;
}

/** A host that is short of memory lends none to a control. */
function whyNotLent(): string | undefined {
  const free = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0;
  const needed = MUCH_MEMORY_MIB + SPARE_MEMORY_MIB;
  if (Number(free) / 1024 >= needed) return undefined;
  return `the host has less than ${needed} MiB of memory to spare for the control`;
}
