/** Every refusal of an operator's container settings, by its rule. */
import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import type { DockerSettings } from './config.ts';
import { BASE_CAPABILITIES, DENIED_HOST_PATHS, DENIED_TARGETS } from './config.ts';
import { checkImageName, checkSettings, type HostPlaces } from './rules.ts';

const asIs: HostPlaces = {
  resolveLink: (path) => path,
  mountPoints: () => [],
  ownDirectories: [],
};
const real: HostPlaces = { ...asIs, resolveLink: realpathSync };
const cache = (source: string, target = '/cache'): DockerSettings => ({
  caches: [{ source, target }],
});
const at = (...targets: string[]): DockerSettings => ({
  caches: targets.map((target) => ({ source: '/srv/cache', target })),
});

function assertRefused(settings: DockerSettings, rule: string, host = asIs): void {
  const shown = `${rule} ${JSON.stringify(settings)}`;
  assert.throws(
    () => checkSettings(settings, host),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'invalid_configuration', shown);
      assert.ok(error.message.includes(`[${rule}] `), `${shown}: ${error.message}`);
      return true;
    },
    shown,
  );
}

test('settings that nobody changed give the least', () => {
  assert.deepEqual(checkSettings({}, asIs), {
    runtime: undefined,
    capabilities: Object.keys(BASE_CAPABILITIES),
    caches: [],
    dns: undefined,
  });
});

test('what is allowed comes out as it goes to the engine', () => {
  const settings: DockerSettings = {
    runtime: 'runsc',
    capabilities: ['NET_RAW', 'CHOWN'],
    caches: [{ source: '/srv/npm/', target: '/cache//npm/' }],
    dns: ['10.0.0.1', 'fd00::1'],
  };
  const checked = checkSettings(settings, asIs);
  assert.equal(checked.runtime, 'runsc');
  assert.deepEqual(checked.capabilities, [...Object.keys(BASE_CAPABILITIES), 'NET_RAW']);
  assert.deepEqual(checked.caches, [{ source: '/srv/npm', target: '/cache/npm' }]);
  assert.deepEqual(checked.dns, ['10.0.0.1', 'fd00::1']);
});

test('no directory of the host itself is shared: none in it, none that holds it', () => {
  for (const path of DENIED_HOST_PATHS) {
    assertRefused(cache(path), 'source-denied');
    if (path !== '/') assertRefused(cache(join(path, 'deeper/still')), 'source-denied');
  }
  for (const path of ['/var', '/run', '/var/run', '/var/lib', '/etc/', '//etc', '/srv/../etc']) {
    assertRefused(cache(path), 'source-denied');
  }
  // Their namesakes are not they.
  for (const path of ['/srv/etc', '/device', '/rooted', '/home/x/proc']) {
    assert.equal(checkSettings(cache(path), asIs).caches.length, 1, path);
  }
});

test('a link into the host is refused as what it leads to, before it goes and after', (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-rules-'));
  context.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'shared'));
  for (const [name, path] of [
    ['etc', '/etc'],
    ['top', '/'],
    ['up', '../../../../../../../../etc'],
    ['twice', join(directory, 'etc')],
  ] as const) {
    symlinkSync(path, join(directory, name));
    assertRefused(cache(join(directory, name)), 'source-denied', real);
  }
  assertRefused(cache(join(directory, 'etc/apt')), 'source-denied', real);
  assertRefused(cache(join(directory, 'nothing')), 'source-there', real);
  symlinkSync(join(directory, 'shared'), join(directory, 'fine'));
  if (realpathSync(directory).startsWith('/root/')) return; // it is denied wherever it leads
  const { caches } = checkSettings(cache(join(directory, 'fine')), real);
  assert.deepEqual(caches[0]?.source, realpathSync(join(directory, 'shared')));
});

test("nor the engine that is asked, nor what is the agent's own, as it is written or by a link", () => {
  const links: Record<string, string> = { '/srv/link': '/srv/agent' };
  const resolveLink = (path: string): string => links[path] ?? path;
  const host = { ...asIs, resolveLink, ownDirectories: ['/srv/agent', '/srv/guests/'] };
  for (const path of ['/srv', '/srv/agent', '/srv/agent/keys', '/srv/link', '/srv/guests/a']) {
    assertRefused(cache(path), 'source-denied', host);
  }
  const socketPath = '/srv/engine/podman.sock';
  assertRefused({ socketPath, ...cache('/srv/engine') }, 'source-denied', host);
  assertRefused({ socketPath, ...cache(socketPath) }, 'source-denied', host);
  assert.equal(checkSettings({ socketPath, ...cache('/srv/npm') }, host).caches.length, 1);
  const linked = { ...host, ownDirectories: ['/srv/link'] };
  assertRefused(cache('/srv/agent/keys'), 'source-denied', linked);
});

test('a directory with a mount in it is refused: what that leads to would be shared, too', () => {
  const host = { ...asIs, mountPoints: () => ['/', '/srv', '/srv/cache/etc', '/srv/npm'] };
  assertRefused(cache('/srv/cache'), 'source-mounts', host);
  assertRefused(cache('/srv/cache/'), 'source-mounts', host);
  assert.equal(checkSettings(cache('/srv/npm'), host).caches.length, 1, 'it is one itself');
  assert.equal(checkSettings(cache('/srv/cach'), host).caches.length, 1, 'its namesake');
});

test('sources and targets are absolute, plain, and each target is taken once', () => {
  assertRefused(cache('srv/cache'), 'source-absolute');
  assertRefused(cache('./cache'), 'source-absolute');
  assertRefused(cache('/srv/a:b'), 'source-plain');
  assertRefused(cache('/srv/a,ro=false'), 'source-plain');
  assertRefused(at('cache'), 'target-absolute');
  assertRefused(at('/cache/../etc'), 'target-plain');
  assertRefused(at('/cache\n/etc'), 'target-plain');
  assertRefused(at('/cache', '/cache'), 'target-duplicate');
  assertRefused(at('/cache', '/cache/'), 'target-duplicate');
  assertRefused(at('/cache', '/cache/npm'), 'target-duplicate');
  assertRefused(at('/cache/npm', '/cache'), 'target-duplicate');
  assert.equal(checkSettings(at('/cache', '/cache2'), asIs).caches.length, 2);
});

test('no cache hides what runs the job', () => {
  for (const target of DENIED_TARGETS) assertRefused(at(target), 'target-denied');
  for (const target of ['/etc/apt', '/run', '/opt', '//usr/', '/run/onejob/x', '/lib64/x']) {
    assertRefused(at(target), 'target-denied');
  }
});

test('capabilities, runtimes, name servers and sockets are of the known ones', () => {
  for (const name of [
    'SYS_ADMIN',
    'SYS_MODULE',
    'SYS_PTRACE',
    'NET_ADMIN',
    'ALL',
    'toString',
    '',
  ]) {
    assertRefused({ capabilities: [name] }, 'capability-optional');
  }
  assertRefused({ runtime: 'nvidia' as never }, 'runtime-known');
  assertRefused({ dns: ['dns.example'] }, 'dns-address');
  assertRefused({ dns: [] }, 'dns-count');
  assertRefused({ dns: ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4'] }, 'dns-count');
  assertRefused({ socketPath: 'docker.sock' }, 'socket-absolute');
  const many = Array.from({ length: 33 }, (_, index) => `/cache${index}`);
  assertRefused(at(...many), 'cache-count');
});

test('all that is refused is told at once', () => {
  const settings = { ...cache('/etc', '/proc'), capabilities: ['SYS_ADMIN'] };
  for (const rule of ['source-denied', 'target-denied', 'capability-optional']) {
    assertRefused(settings, rule);
  }
});

test('images run by glob, and by default only those of onejob', () => {
  const allows = (name: string, globs?: readonly string[]): boolean => {
    try {
      checkImageName(name, globs);
      return true;
    } catch (error) {
      assert.match((error as Error).message, /^\[image-(allowed|name)\] /);
      return false;
    }
  };
  assert.ok(allows('localhost/onejob/guest:abc'));
  assert.ok(!allows('debian:12'));
  assert.ok(!allows('evil/localhost/onejob/guest:abc'));
  assert.ok(!allows('localhost/onejob/guest:abc', []));
  assert.ok(allows('r.example/ci/a:1', ['r.example/ci/*']));
  assert.ok(!allows('r.example.evil/ci/a:1', ['r.example/ci/*']));
  assert.ok(!allows('r-example/ci/a', ['r.example/ci/*']), 'a dot is a dot');
  assert.ok(allows('a/b-c-b:1', ['a/*b*:1']));
  assert.ok(!allows('aba', ['ab*ba']), 'its ends do not overlap');
  assert.ok(!allows('a:1', ['a']));
  assert.ok(allows('anything', ['*']));
  for (const name of ['', '-v', 'a b', 'a\nb', '/abs']) assert.ok(!allows(name, ['*']), name);
});
