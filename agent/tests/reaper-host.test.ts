/**
 * The reaper on real interfaces, packet rules, namespaces, mounts and control groups, beside things that
 * look like ours. In a network and a mount namespace of the test: nothing of it is seen outside.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { findCgroups } from '../src/host/cgroup.ts';
import type { ReapEntry } from '../src/sandbox/reaper.ts';
import { HostLab } from './_host-lab.ts';

const HOUR_MS = 60 * 60 * 1000;

const addVeth = (lab: HostLab, name: string, alias?: string): void => {
  lab.run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `p${name}`.slice(0, 15));
  if (alias !== undefined) lab.run('ip', 'link', 'set', 'dev', name, 'alias', alias);
};

/** A network and a mount of a sandbox, as its provisioning makes them. */
function addNetwork(lab: HostLab, id: string, veth: string): void {
  lab.run('ip', 'netns', 'add', `onejob-${id}`);
  addVeth(lab, veth, `onejob:${lab.hostMarker}:${id}`);
  if (lab.hasNft) lab.run('nft', 'add', 'table', 'inet', `onejob_${id}`);
}

function addLookAlikes(lab: HostLab, id: string): void {
  const names = [`onejob-${id}x`, `xonejob-${id}`, 'onejob-sb12', `onejob-${id.toUpperCase()}`, id];
  for (const name of names) lab.run('ip', 'netns', 'add', name);
  addVeth(lab, 'other', `onejob:${lab.hostMarker}-other:${id}`);
  addVeth(lab, 'shorter', `onejob:${lab.hostMarker}:sb12`);
  addVeth(lab, 'within', `not onejob:${lab.hostMarker}:${id}`);
  addVeth(lab, `oj${id.slice(2, 15)}`);
  if (lab.hasNft) {
    for (const name of ['onejob', 'onejob_sb12', `onejob_${id}_x`])
      lab.run('nft', 'add', 'table', 'ip', name);
  }
  const beside = join(lab.root, `sandboxes-${id}`);
  const notOurs = join(lab.sandboxes, 'sb12');
  for (const path of [beside, notOurs]) {
    mkdirSync(path);
    lab.run('mount', '-t', 'tmpfs', 'tmpfs', path);
  }
}

const skip = process.getuid?.() === 0 ? false : 'making namespaces needs root';

test(
  'everything of a dead sandbox goes, nothing of a live one or of look-alikes does',
  { skip },
  async (t) => {
    using lab = new HostLab();
    if (!lab.hasNft) t.diagnostic('without packet rules: nft does not work here');
    const [dead, live, stranger] = [newSandboxId(), newSandboxId(), newSandboxId()];
    addLookAlikes(lab, dead);
    addNetwork(lab, live, 'live');
    lab.run('ip', 'netns', 'add', `onejob-${stranger}`);
    if (lab.hasNft) lab.run('nft', 'add', 'table', 'inet', `onejob_${stranger}`);
    const liveMount = join(lab.sandboxes, live, 'mnt');
    mkdirSync(liveMount, { recursive: true });
    lab.run('mount', '-t', 'tmpfs', 'tmpfs', liveMount);
    const before = lab.inventory();

    addNetwork(lab, dead, 'dead');
    const precious = join(lab.root, 'precious');
    const mounts = ['mnt', 'bound here', 'mnt/inner'].map((name) =>
      join(lab.sandboxes, dead, name),
    );
    mkdirSync(precious);
    writeFileSync(join(precious, 'kept'), 'x');
    for (const path of mounts.slice(0, 2)) mkdirSync(path, { recursive: true });
    lab.run('mount', '-t', 'tmpfs', 'tmpfs', mounts[0] ?? '');
    lab.run('mount', '--bind', precious, mounts[1] ?? '');
    lab.run('mkdir', mounts[2] ?? '');
    lab.run('mount', '-t', 'tmpfs', 'tmpfs', mounts[2] ?? '');
    const unmarked = lab.start('ip', 'netns', 'exec', `onejob-${dead}`, 'sleep', '60');
    const ended = new Promise((resolve) => unmarked.once('exit', resolve));
    while (lab.run('ip', 'netns', 'pids', `onejob-${dead}`).trim() === '')
      assert.equal(unmarked.exitCode, null);

    const { entries, failed } = lab.reap([live]);
    assert.deepEqual(failed, []);
    assert.deepEqual(
      new Set(entries.map(({ sandboxId, outcome }) => `${sandboxId} ${outcome}`)),
      new Set([`${dead} removed`]),
    );
    const kinds = ['mount', 'mount', 'mount', 'interface', 'network_namespace', 'directory'];
    if (lab.hasNft) kinds.splice(4, 0, 'packet_rules');
    assert.deepEqual(
      entries.map(({ kind }) => kind),
      kinds,
    );
    await ended;
    assert.deepEqual(lab.inventory(), before);
    assert.ok(!existsSync(join(lab.sandboxes, dead)));
    assert.ok(existsSync(join(precious, 'kept')), 'what was mounted there is not removed with it');
    assert.deepEqual(lab.reap([live]).entries, []);
  },
);

test(
  'what nobody owns goes when it is older than any sandbox may be, and so does a live one',
  { skip },
  async () => {
    using lab = new HostLab();
    const [live, stranger, ofOthers] = [newSandboxId(), newSandboxId(), newSandboxId()];
    // Control groups are not in a namespace: those of others are not to be seen here.
    lab.run('umount', '--lazy', '--recursive', '/sys/fs/cgroup');
    addNetwork(lab, live, 'live');
    mkdirSync(join(lab.sandboxes, live));
    for (const id of [stranger, ofOthers]) {
      lab.run('ip', 'netns', 'add', `onejob-${id}`);
      if (lab.hasNft) lab.run('nft', 'add', 'table', 'inet', `onejob_${id}`);
    }
    const foreign = lab.start(
      'env',
      `ONEJOB_SANDBOX=${ofOthers}`,
      'ONEJOB_HOST=another',
      'sleep',
      '60',
    );
    const before = lab.inventory();
    assert.deepEqual(lab.reap([live]).entries, []);
    assert.deepEqual(lab.reap([live], 6 * HOUR_MS).entries, []);
    assert.deepEqual(lab.inventory(), before);
    const { entries, failed } = lab.reap([live], 6.5 * HOUR_MS);
    assert.deepEqual(failed, []);
    const gone = (id: string): ReapEntry[] => entries.filter(({ sandboxId }) => sandboxId === id);
    assert.equal(gone(stranger).length, lab.hasNft ? 2 : 1);
    assert.ok(
      gone(stranger).every(
        ({ why, ageMs }) => /nobody owns it/.test(why) && (ageMs ?? 0) > 6 * HOUR_MS,
      ),
    );
    assert.ok(gone(live).length >= 3);
    assert.ok(gone(live).every(({ why }) => /its sandbox is older than 370 minutes/.test(why)));
    assert.deepEqual(gone(ofOthers), []);
    assert.ok(lab.inventory().includes(`netns onejob-${ofOthers}`));
    foreign.kill('SIGKILL');
  },
);

test(
  'control groups of a dead sandbox go, wherever they lie; look-alikes stay',
  { skip },
  async (t) => {
    const cgroups = await findCgroups();
    if ('whyNot' in cgroups) return t.skip(cgroups.whyNot);
    using lab = new HostLab();
    const [dead, stranger] = [newSandboxId(), newSandboxId()];
    mkdirSync(join(lab.sandboxes, dead));
    const parent = join(cgroups.parents.pids, `test-${randomBytes(6).toString('hex')}`);
    const group = join(parent, `onejob-${dead}`);
    const others = [`onejob-${stranger}`, `onejob-${dead}.x`, `x-onejob-${dead}`, 'onejob-sb12'];
    const stay = others.map((name) => join(parent, name));
    for (const path of [parent, group, ...stay]) mkdirSync(path);
    try {
      const { entries, failed } = lab.reap([]);
      assert.deepEqual(failed, []);
      assert.deepEqual(
        entries.map(({ kind, name }) => [kind, name.split(' ').at(-1)]),
        [
          ['cgroup', group],
          ['directory', join(lab.sandboxes, dead)],
        ],
      );
      assert.ok(!existsSync(group));
      assert.ok(stay.every(existsSync));
    } finally {
      for (const path of [group, ...stay, parent]) if (existsSync(path)) rmdirSync(path);
    }
  },
);
