/**
 * Limits of a container's processes, said by us because engines differ where nothing is said: Docker hands
 * down its own, Podman asks for 1048576, which a host without CAP_SYS_RESOURCE refuses.
 */
import { readFileSync } from 'node:fs';

/** Open files of a process, as on GitHub's runners. */
const MOST_OPEN_FILES = 65_536;

export type Ulimit = { Name: string; Soft: number; Hard: number };

/** @param own The agent's own limits as proc(5) lists them: none of these is raised. */
export function containerUlimits(own = readFileSync('/proc/self/limits', 'utf8')): Ulimit[] {
  const hard = (name: string): number =>
    Number(new RegExp(`^Max ${name} +\\S+ +(\\d+) `, 'm').exec(own)?.[1] ?? Infinity);
  const processes = hard('processes');
  return [
    { Name: 'core', Soft: 0, Hard: 0 },
    both('nofile', Math.min(MOST_OPEN_FILES, hard('open files'))),
    // The control group limits how many there are; this one counts a user's on the whole host.
    ...(processes === Infinity ? [] : [both('nproc', processes)]),
  ];
}

const both = (Name: string, most: number): Ulimit => ({ Name, Soft: most, Hard: most });
