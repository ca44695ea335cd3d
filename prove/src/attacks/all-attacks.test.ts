import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ATTACK_CLASSES, chooseAttacks, type Attack } from '../attack.ts';
import { NAMESPACED_SETTINGS } from '../scene/setup.ts';
import { makeValues } from '../scene/values.ts';
import { allAttacks } from './all-attacks.ts';
import { NEIGHBOUR } from './neighbour.ts';

const world = {
  side: 'sandbox',
  dataDirectory: '/data',
  mark: 'sandbox-1',
  disk: { major: 8, minor: 1 },
  network: 'link',
} as const;
const attacks = allAttacks(world, 'prove-secret-1234');

const scriptsOf = (attack: Attack): string[] => {
  if (attack.kind === 'replay') return [attack.take, attack.use];
  if (attack.kind !== 'sandbox') return [];
  return attack.probes.flatMap(({ probe }) => ('script' in probe ? [probe.script] : []));
};

test('every attack has an id of its own', () => {
  const ids = attacks.map(({ id }) => id);
  assert.deepEqual([...new Set(ids)], ids);
  for (const id of ids) assert.match(id, /^[a-z0-9-]{1,50}$/);
  for (const id of ids) assert.ok(!ATTACK_CLASSES.includes(id as 'escape'), id);
});

test('every attack says what it tries, what is expected and what its control is', () => {
  for (const { id, title, expected, control } of attacks) {
    for (const text of [title, expected, control]) assert.ok(text.length > 8, `${id}: ${text}`);
  }
});

test('every class has attacks, and there are more than a proof needs', () => {
  for (const one of ATTACK_CLASSES) {
    assert.ok(
      attacks.some((attack) => attack.class === one),
      one,
    );
  }
  assert.ok(attacks.length >= 100, String(attacks.length));
});

test('every secret that is evidence is a value of the host', () => {
  // What only a neighbour has is made by its job.
  const values = new Map([...makeValues('agent'), [NEIGHBOUR, '']]);
  for (const attack of attacks) {
    if (attack.kind !== 'sandbox' || attack.evidence.by !== 'secret') continue;
    assert.ok(values.has(attack.evidence.name), `${attack.id}: ${attack.evidence.name}`);
  }
});

test('no attack holds a value of the host: what it finds it must have seen', () => {
  const text = JSON.stringify(attacks);
  assert.doesNotMatch(text, /prove-[a-z-]+-[0-9a-f]{24}/);
});

test('no job writes to a setting of the kernel that the real host shares with it', () => {
  const own = new RegExp(`^/proc/sys/(${NAMESPACED_SETTINGS.join('|')})(/|$)`);
  for (const attack of attacks) {
    const isOfJobs = attack.kind !== 'sandbox' || attack.controlOn === undefined;
    for (const script of isOfJobs ? scriptsOf(attack) : []) {
      for (const [, path = ''] of script.matchAll(/>\s*(\/(?:proc|sys)\/[^\s;)]+)/g)) {
        const isOfProcess = /^\/proc\/(self|\$|\d)/.test(path);
        assert.ok(isOfProcess || own.test(path), `${attack.id} writes to ${path}`);
      }
      assert.doesNotMatch(script, /mount -t|modprobe |insmod |\/dev\/(mem|port|kmsg)/, attack.id);
    }
  }
});

test('scripts are scripts of sh', () => {
  for (const attack of attacks) {
    for (const script of scriptsOf(attack)) {
      const { status, stderr } = spawnSync('sh', ['-n', '-c', script], { encoding: 'utf8' });
      assert.equal(status, 0, `${attack.id}: ${stderr}`);
    }
  }
});

test('the search for secrets on command lines finds those that are where it looks', () => {
  const search = (side: 'sandbox' | 'control', secret: string) => {
    const attack = allAttacks({ ...world, side }, '').find(
      ({ id }) => id === 'command-line-secrets',
    );
    const [script = ''] = attack === undefined ? [] : scriptsOf(attack);
    const tokens = { PROVE_SECRET: secret, ACTIONS_RUNTIME_TOKEN: 'another-token-5678' };
    return spawnSync('sh', ['-c', script], {
      env: { PATH: process.env['PATH'], ...tokens },
      encoding: 'utf8',
    });
  };
  assert.match(search('control', 'prove-secret-1234').stdout, /^found a secret\nfound a token$/m);
  const { stdout } = search('sandbox', 'prove-secret-1234');
  assert.match(stdout, /^looked at [1-9]\d* characters\n$/);
  assert.match(search('sandbox', '').stderr, /onejob-prove cannot look: the job has no secret/);
  // What is on every command line is found there.
  const [word = ''] = readFileSync('/proc/cmdline', 'utf8').split(/\s/);
  assert.match(search('sandbox', word).stdout, /^found a secret$/m);
});

test('a directory of the platform in which nothing is yet shows nothing', () => {
  using data = mkdtempDisposableSync(join(tmpdir(), 'onejob-attacks-'));
  mkdirSync(join(data.path, 'repositories'));
  const [attack] = allAttacks({ ...world, dataDirectory: data.path }, '').filter(
    ({ id }) => id === 'platform-repositories',
  );
  const [script = ''] = attack === undefined ? [] : scriptsOf(attack);
  const look = (): string => spawnSync('sh', ['-c', script], { encoding: 'utf8' }).stdout;
  assert.equal(look(), '');
  mkdirSync(join(data.path, 'repositories', 'local'));
  assert.equal(look(), 'local\n');
});

test('the same attacks come in the same order, whatever the mark', () => {
  const others = allAttacks({ ...world, side: 'control', mark: 'control-2' }, 'prove-secret-1234');
  assert.deepEqual(
    others.map(({ id }) => id),
    attacks.map(({ id }) => id),
  );
});

test('attacks are chosen by id and by class, and a word that is neither is named', () => {
  const { chosen, unknown } = chooseAttacks(attacks, ['file-read', 'burial', 'burglary']);
  assert.equal(chosen[0]?.id, 'file-read');
  assert.ok(chosen.slice(1).every((attack) => attack.class === 'burial'));
  assert.deepEqual(unknown, ['burglary']);
  assert.equal(chooseAttacks(attacks, []).chosen.length, attacks.length);
});

test('the page about proofs names every attack, with what it tries in its own words', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/prove.md'), 'utf8');
  const rows = attacks.map(({ id, title }) => `| \`${id}\` | ${title} |`);
  assert.deepEqual(
    rows.filter((row) => !page.includes(row)),
    [],
  );
});

test('what only looks whether there is a filter of system calls does not say that it makes them', () => {
  const { title, expected } = attacks.find(({ id }) => id === 'monitor-calls') ?? attacks[0]!;
  assert.doesNotMatch(title, /^makes/);
  assert.match(`${title}; ${expected}`, /none is made.*what that lets through is not tried/);
});
