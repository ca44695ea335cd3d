/**
 * A user of its own for each sandbox: a number without a name, a home or a group of anybody's. A
 * number is taken by a symbolic link in /run that says whose it is: made in one act, seen by every
 * agent of this host, gone with a restart of the host. So no two live sandboxes have the same one.
 *
 *     free -> taken (the link is there) -> every process of it killed -> free
 *
 * A number that something on the host runs as already is left to it.
 */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';

export type UserRange = { first: number; count: number };
export type UserOwner = { hostMarker: string; sandboxId: string };

/**
 * Where systemd's table of users has a gap: containers end at 1,879,048,191, and numbers of 2^31 and
 * more are not safe with every program. As many as nobody's host has sandboxes.
 */
export const SANDBOX_USERS: UserRange = { first: 2_000_000_000, count: 65_536 };
/** A free user is found at the first try, unless tens of thousands of sandboxes live here. */
const MOST_USER_TRIES = 16;
/** Below are the users of the host itself and of its containers' first ranges. */
const SMALLEST_FIRST = 100_000;
/** 2^32 - 1 means "no user" to the kernel. */
const LARGEST_USER = 2 ** 32 - 2;

/** A directory in memory that the host empties at its start; writing there takes root. */
const CLAIMS_DIRECTORY = '/run';
const CLAIM = /^onejob-user-([1-9]\d{0,9})$/;

/** SIGKILL needs no help from the process; only a kernel in trouble takes longer than this. */
const KILL_PATIENCE_MS = 5_000;
const KILL_POLL_MS = 5;

export function checkUserRange({ first, count }: UserRange): void {
  const isFit =
    Number.isSafeInteger(first) &&
    Number.isSafeInteger(count) &&
    first >= SMALLEST_FIRST &&
    count >= 1 &&
    first + count - 1 <= LARGEST_USER;
  if (isFit) return;
  throw new AgentError(
    'invalid_configuration',
    `Users of sandboxes cannot be ${count} from ${first} on: they must lie between ${SMALLEST_FIRST} and ${LARGEST_USER}.`,
  );
}

/** Any of the range: who tries another after a refusal finds a free one soon. */
export const chooseUser = ({ first, count }: UserRange): number => first + randomInt(count);

/** Tries users until one can be claimed. */
export async function takeUser(
  users: UserRange,
  claim: (uid: number) => Promise<boolean>,
): Promise<number> {
  for (let tries = 0; tries < MOST_USER_TRIES; tries++) {
    const uid = chooseUser(users);
    if (await claim(uid)) return uid;
  }
  throw new AgentError(
    'boot_failed',
    `No user for the machine: ${MOST_USER_TRIES} of the ${users.count} from ${users.first} on were taken. Give it a larger range: sandboxUsers in the file that ONEJOB_HOST_SETTINGS names (docs/operations.md)`,
  );
}

const claimPath = (uid: number): string => join(CLAIMS_DIRECTORY, `onejob-user-${uid}`);
const claimText = ({ hostMarker, sandboxId }: UserOwner): string => `${hostMarker}/${sandboxId}`;

/** False: somebody has it. */
export async function claimUser(uid: number, owner: UserOwner): Promise<boolean> {
  if (processesOf(uid).length > 0) return false;
  try {
    await symlink(claimText(owner), claimPath(uid));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Kills what runs as it, then frees it; does nothing where it is not this owner's. */
export async function releaseUser(uid: number, owner: UserOwner): Promise<void> {
  if ((await holderOf(uid)) !== claimText(owner)) return;
  await killProcessesOf(uid);
  await rm(claimPath(uid), { force: true });
}

/** Every number that an agent with this marker has taken. */
export async function listUserClaims(
  hostMarker: string,
): Promise<{ uid: number; sandboxId: string }[]> {
  const claims: { uid: number; sandboxId: string }[] = [];
  for (const name of await readdir(CLAIMS_DIRECTORY).catch(() => [])) {
    const uid = Number(CLAIM.exec(name)?.[1] ?? 0);
    if (uid === 0) continue;
    const [marker, sandboxId = ''] = (await holderOf(uid))?.split('/') ?? [];
    if (marker === hostMarker) claims.push({ uid, sandboxId });
  }
  return claims;
}

async function holderOf(uid: number): Promise<string | undefined> {
  try {
    return await readlink(claimPath(uid));
  } catch {
    return undefined; // free, or not a link and so nobody's claim
  }
}

/**
 * Living processes that have this user in any of its four roles. Read from `status`, which no
 * process can hide: the owner of its directory in /proc is root's for one that says so.
 */
function processesOf(uid: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      const users = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
      const isLiving = !/^State:\s+[ZX]/m.test(status);
      return isLiving && users.includes(String(uid)) ? [Number(name)] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

async function killProcessesOf(uid: number): Promise<void> {
  const deadline = performance.now() + KILL_PATIENCE_MS;
  for (;;) {
    const living = processesOf(uid);
    if (living.length === 0) return;
    for (const pid of living) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    if (performance.now() > deadline) {
      throw new AgentError(
        'boot_failed',
        `Processes ${living.join(', ')} of the user ${uid} do not die. Look at them with: ps -o pid,stat,wchan,args -p ${living.join(',')}`,
      );
    }
    await sleep(KILL_POLL_MS);
  }
}
