/**
 * The kinds that every agent looks for, in the order in which they go: who uses a thing before the
 * thing, what lies on a directory before the directory.
 */
import { cgroupFinder } from './cgroups.ts';
import { directoryFinder } from './directories.ts';
import type { Finder } from './finder.ts';
import { mountFinder } from './mounts.ts';
import { linkFinder, namespaceFinder, tableFinder } from './networks.ts';
import { processFinder } from './processes.ts';
import { trialFinder } from './trials.ts';
import { userFinder } from './users.ts';

export const STANDARD_FINDERS: readonly Finder[] = [
  processFinder,
  userFinder,
  cgroupFinder,
  mountFinder,
  linkFinder,
  tableFinder,
  namespaceFinder,
  directoryFinder,
  trialFinder,
];
