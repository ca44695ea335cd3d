/**
 * What must stand between a proof and the host it runs on, looked at from inside, before anything is
 * attacked: the attacks of a control get through on purpose. A wall that is missing ends the proof.
 */
import { readFileSync, statSync } from 'node:fs';
import { REAL_PROC } from '../attacks/world.ts';
import { ProveError } from '../errors.ts';
import { MARKER, NAMESPACED_SETTINGS } from './setup.ts';

type Mount = { place: string; type: string; isReadOnly: boolean; isShared: boolean };

/** Pure: /proc/self/mountinfo (proc(5)). A later mount at a place hides an earlier one. */
export function parseMounts(mountInfo: string): Map<string, Mount> {
  const mounts = new Map<string, Mount>();
  for (const line of mountInfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , , place = '', options = '', ...tags] = before.split(' ');
    const [type = '', , ofSystem = ''] = after.split(' ');
    if (place === '') continue;
    const isReadOnly = [options, ofSystem].some((text) => text.split(',').includes('ro'));
    const isShared = tags.some((tag) => tag.startsWith('shared:'));
    mounts.set(place, { place, type, isReadOnly, isShared });
  }
  return mounts;
}

const CONTROL_GROUP_PLACE = '/sys/fs/cgroup/';

/** Pure: what is wrong with the mounts of a scene, a sentence each; none: it may be attacked. */
export function findGaps(mounts: ReadonlyMap<string, Mount>): string[] {
  const gaps: string[] = [];
  const expect = (holds: boolean, gap: string): void => {
    if (!holds) gaps.push(gap);
  };
  const type = (place: string): string => mounts.get(place)?.type ?? 'nothing';
  const isReadOnly = (place: string): boolean => mounts.get(place)?.isReadOnly === true;
  expect(type('/') === 'overlay', 'the root directory is the host’s');
  expect(type('/dev') === 'tmpfs', 'the device files are the host’s');
  for (const place of ['/tmp', '/run', '/dev/shm']) {
    expect(type(place) === 'tmpfs', `${place} is the host’s`);
  }
  for (const place of ['/sys', '/proc/sys', '/sys/fs/cgroup', REAL_PROC]) {
    expect(isReadOnly(place), `${place} can be written`);
  }
  const settings = NAMESPACED_SETTINGS.map((setting) => `/proc/sys/${setting}`);
  for (const mount of mounts.values()) {
    const { place } = mount;
    expect(!mount.isShared, `${place} is shared with the host`);
    expect(mount.type !== 'devtmpfs', `${place} has the host’s device files`);
    const isKernels = ['proc', 'sysfs'].includes(mount.type) && place !== '/proc';
    const isOwn = settings.includes(place);
    if (isKernels && !isOwn) expect(mount.isReadOnly, `${place} can be written`);
    const isGroup = ['cgroup', 'cgroup2'].includes(mount.type);
    if (isGroup) expect(place.startsWith(CONTROL_GROUP_PLACE), `${place} has the host’s groups`);
  }
  return [...new Set(gaps)];
}

/** Every group of ours must be the top of what is seen: the host's are out of sight. */
const seesHostGroups = (mountInfo: string): boolean =>
  mountInfo
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .some((line) => line.split(' ')[3] !== '/');

/** Device files of our own are in the same file system as their directory. */
const areOwnDevices = (): boolean =>
  ['null', 'zero', 'full', 'random', 'urandom', 'tty'].every(
    (name) => statSync(`/dev/${name}`).dev === statSync('/dev').dev,
  );

/**
 * @param mark of the proof
 * @throws ProveError `walls_missing`: a host whose tools did something else than they were told
 */
export function checkWalls(mark: string): void {
  if (!isInside(mark)) {
    const message = 'The scene of a proof is set in its own namespaces only.';
    throw new ProveError('walls_missing', message);
  }
  const mountInfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const gaps = [
    ...findGaps(parseMounts(mountInfo)),
    ...(areOwnDevices() ? [] : ['a device file is the host’s']),
    ...(seesHostGroups(mountInfo) ? ['the control groups are the host’s'] : []),
  ];
  if (gaps.length === 0) return;
  throw new ProveError(
    'walls_missing',
    `Nothing was attacked, since the host itself could be hit: ${gaps.join('; ')}. Say so to the maintainers, with the kernel's version.`,
  );
}

/** Is this process in the host that was made for `mark`? */
function isInside(mark: string): boolean {
  try {
    return mark !== '' && readFileSync(MARKER, 'utf8').trim() === mark;
  } catch {
    return false;
  }
}
