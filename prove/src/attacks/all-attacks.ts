/**
 * Every attack, in the order it is tried: what only looks comes first, what changes the host in the
 * control comes after it.
 */
import type { Attack } from '../attack.ts';
import { burialAttacks } from './burial.ts';
import { credentialAttacks } from './credentials.ts';
import { escapeAttacks } from './escape.ts';
import { floodAttacks } from './floods.ts';
import { identityAttacks } from './identity.ts';
import { kernelAttacks } from './kernel.ts';
import { leaseAttacks } from './leases.ts';
import { monitorAttacks } from './monitor.ts';
import { neighbourAttacks } from './neighbour.ts';
import { networkAttacks } from './network.ts';
import { persistenceAttacks } from './persistence.ts';
import { resourceAttacks } from './resources.ts';
import { replayAttacks } from './replay.ts';
import type { World } from './world.ts';

export const allAttacks = (world: World, jobSecret: string): Attack[] => [
  ...identityAttacks(),
  ...escapeAttacks(world),
  ...kernelAttacks(world),
  ...monitorAttacks(),
  ...neighbourAttacks(world),
  ...networkAttacks(world),
  ...credentialAttacks(world, jobSecret),
  ...replayAttacks(),
  ...leaseAttacks(),
  ...resourceAttacks(),
  ...floodAttacks(),
  ...persistenceAttacks(world),
  ...burialAttacks(),
];
