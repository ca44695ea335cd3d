import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { completeLock, missingOptionalPackages } from './optional-packages.mjs';

const linter = { version: '1.0.0', dev: true };

test('an optional package without an entry is found, wherever an entry would do', () => {
  const optionalDependencies = { 'x-darwin-arm64': '1.0.0', 'x-linux-x64': '1.0.0' };
  const lock = {
    packages: {
      'node_modules/x': { ...linter, optionalDependencies },
      'node_modules/x/node_modules/x-linux-x64': linter,
      'node_modules/y/node_modules/z': {
        inBundle: true,
        optionalDependencies: { 'iconv-lite': '1' },
      },
    },
  };
  assert.deepEqual(
    missingOptionalPackages(lock).map(({ name }) => name),
    ['x-darwin-arm64'],
  );
});

test('the missing entry gets its platform from its name, and nothing is missing then', () => {
  const optionalDependencies = { 'x-linux-armv7-musl': '1.0.0' };
  const lock = completeLock({
    packages: { 'node_modules/x': { ...linter, optionalDependencies } },
  });
  assert.deepEqual(lock.packages['node_modules/x-linux-armv7-musl'], {
    version: '1.0.0',
    cpu: ['arm'],
    dev: true,
    libc: ['musl'],
    optional: true,
    os: ['linux'],
  });
  assert.deepEqual(missingOptionalPackages(lock), []);
});

test('a package that names no platform is refused', () => {
  const optionalDependencies = { x: '1.0.0' };
  assert.throws(
    () => completeLock({ packages: { 'node_modules/y': { ...linter, optionalDependencies } } }),
    /names no platform/,
  );
});

test('the lock file of this repository has an entry for every optional package', () => {
  const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8');
  const names = missingOptionalPackages(JSON.parse(text)).map(({ name }) => name);
  assert.deepEqual(names, [], '"npm ci" would refuse it; run: node tools/complete-lock.mjs');
});
