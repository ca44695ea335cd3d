/**
 * One round of kills (_sigkill-rounds.ts) with machines that have a network of their own, run as a program
 * in a public place (_public-place.ts). At its end that place's network is compared with what it was before,
 * by whatever the kernel lists, and around the kills is an inventory of the whole place: no name of onejob is
 * looked for. Before them a machine went undisturbed, so what the host's own programs keep from the first network
 * namespace on (`ip`: a directory for their names, and its mount) is there by then.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertRoundLeavesNothing } from './_kill-round.ts';
import { recordMicroVmJournal } from './_sigkill-rounds.ts';

/** The kernel takes routes of an interface away a moment after it. */
const SETTLE_MS = 10_000;
const POLL_MS = 100;
const LOOKS = [
  ['ip', '-brief', 'link'],
  ['ip', '-brief', 'address'],
  ...['-4', '-6'].flatMap((version) => ['route', 'rule'].map((what) => ['ip', version, what])),
  ['ip', 'netns', 'list'],
  ['nft', 'list', 'ruleset'],
  ['conntrack', '--dump'],
];

const look = (): string =>
  LOOKS.map(([program = '', ...words]) =>
    execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  ).join('\n');

const before = look();
const journal = await recordMicroVmJournal('nat');
await assertRoundLeavesNothing({ driver: 'qemu', network: 'nat', journal });
const deadline = performance.now() + SETTLE_MS;
while (look() !== before && performance.now() < deadline) await sleep(POLL_MS);
assert.equal(look(), before, 'the network of the host is as it was');
process.stdout.write(`killed at each of ${journal.length} lines\n`);
