import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

/**
 * A checkout small enough to be installed without a network: its one package is a folder that
 * brings this Node as `node`. The bootstrap and npm are the real ones.
 */
function makeCheckout(checkScript: string) {
  const scratch = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-bootstrap-test-'));
  const root = scratch.path;
  const put = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  };
  cpSync(path.join(import.meta.dirname, 'bootstrap'), path.join(root, 'tools/bootstrap'), {
    recursive: true,
  });
  cpSync(path.join(import.meta.dirname, 'bootstrap.mjs'), path.join(root, 'tools/bootstrap.mjs'));
  put('tools/check.ts', checkScript);
  put('runtime/package.json', '{"name":"node","version":"1.0.0","bin":{"node":"bin/node"}}');
  mkdirSync(path.join(root, 'runtime/bin'));
  symlinkSync(process.execPath, path.join(root, 'runtime/bin/node'));
  const dependencies = { node: 'file:runtime' };
  put('package.json', JSON.stringify({ name: 'scratch', version: '1.0.0', dependencies }));
  const lock = {
    name: 'scratch',
    version: '1.0.0',
    lockfileVersion: 3,
    packages: {
      '': { name: 'scratch', version: '1.0.0', dependencies },
      'node_modules/node': { resolved: 'runtime', link: true },
      runtime: { name: 'node', version: '1.0.0', bin: { node: 'bin/node' } },
    },
  };
  put('package-lock.json', JSON.stringify(lock));
  return { root, put, [Symbol.dispose]: () => scratch[Symbol.dispose]() };
}

const environment = {
  ...process.env,
  npm_config_cache: path.join(os.tmpdir(), `onejob-bootstrap-test-npm-${process.pid}`),
  NODE_DISABLE_COMPILE_CACHE: '1',
};

test.after(() => rmSync(environment.npm_config_cache, { recursive: true, force: true }));

function run(root: string, ...args: string[]) {
  return spawnSync(process.execPath, [path.join(root, 'tools/bootstrap.mjs'), ...args], {
    encoding: 'utf8',
    env: environment,
  });
}

test('an unknown command shows the usage and ends with 2', () => {
  const { status, stderr } = run(path.join(import.meta.dirname, '..'), 'chekc');
  assert.equal(status, 2);
  assert.match(stderr, /Unknown command "chekc"/);
  assert.ok(stderr.split('\n').length < 24, 'the usage fits one screen');
});

test('the first start installs, the second is silent, and both keep arguments and exit code', () => {
  using checkout = makeCheckout(
    'console.log(process.argv.slice(2).join("+")); process.exitCode = 7;',
  );
  const first = run(checkout.root, 'check', 'a', 'b c');
  assert.match(first.stderr, /npm packages/);
  assert.equal(first.stdout, 'a+b c\n');
  assert.equal(first.status, 7);

  const second = run(checkout.root, 'check');
  assert.equal(second.stderr, '');
  assert.equal(second.status, 7);
});

test('the command finds the Node of the checkout first on PATH', () => {
  using checkout = makeCheckout('console.log(process.env.PATH);');
  const { stdout } = run(checkout.root, 'check');
  assert.equal(stdout.split(path.delimiter)[0], path.join(checkout.root, 'node_modules/.bin'));
});

test('a lock file with another package is installed anew', () => {
  using checkout = makeCheckout('');
  run(checkout.root, 'check');
  cpSync(path.join(checkout.root, 'runtime'), path.join(checkout.root, 'other'), {
    recursive: true,
  });
  checkout.put('other/package.json', '{"name":"other","version":"1.0.0"}');
  const dependencies = { node: 'file:runtime', other: 'file:other' };
  checkout.put('package.json', JSON.stringify({ name: 'scratch', version: '1.0.0', dependencies }));
  const lockFile = path.join(checkout.root, 'package-lock.json');
  const lock = JSON.parse(readFileSync(lockFile, 'utf8')) as { packages: Record<string, unknown> };
  lock.packages[''] = { name: 'scratch', version: '1.0.0', dependencies };
  lock.packages['node_modules/other'] = { resolved: 'other', link: true };
  lock.packages['other'] = { version: '1.0.0' };
  writeFileSync(lockFile, JSON.stringify(lock));

  assert.match(run(checkout.root, 'check').stderr, /npm packages/);
  assert.ok(existsSync(path.join(checkout.root, 'node_modules/other')));
  assert.equal(run(checkout.root, 'check').stderr, '');
});

test('what npm has installed by hand is not installed again', () => {
  using checkout = makeCheckout('');
  run(checkout.root, 'check');
  const stamp = path.join(checkout.root, 'node_modules/.onejob-install-stamp');
  for (const text of ['of another lock file', undefined]) {
    if (text === undefined) rmSync(stamp);
    else writeFileSync(stamp, text);
    assert.equal(run(checkout.root, 'check').stderr, '');
    assert.match(readFileSync(stamp, 'utf8'), /^[0-9a-f]{64}\n$/);
  }
});

test('an install that fails says which step, shows the last lines and the remedy, and ends with 3', () => {
  using checkout = makeCheckout('');
  // The lock file is of another dependency: npm finds that out without asking anyone.
  cpSync(path.join(checkout.root, 'runtime'), path.join(checkout.root, 'other'), {
    recursive: true,
  });
  const dependencies = { node: 'file:other' };
  checkout.put('package.json', JSON.stringify({ name: 'scratch', version: '1.0.0', dependencies }));
  const { status, stderr } = run(checkout.root, 'check');
  assert.equal(status, 3);
  assert.match(stderr, /Step "npm packages/);
  assert.match(stderr, /"npm ci" ended with exit code 1/);
  assert.match(stderr, /What to do: package-lock\.json does not fit/);
  assert.equal(stderr.match(/What to do/g)?.length, 1);
});

test('two first starts at once install once and both work', async () => {
  using checkout = makeCheckout('console.log("ran");');
  const start = () => {
    const child = spawn(
      process.execPath,
      [path.join(checkout.root, 'tools/bootstrap.mjs'), 'check'],
      {
        env: environment,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    return once(child, 'close').then(([code]) => ({ code: Number(code), stdout, stderr }));
  };
  const results = await Promise.all([start(), start()]);
  assert.deepEqual(
    results.map(({ code, stdout }) => [code, stdout]),
    [
      [0, 'ran\n'],
      [0, 'ran\n'],
    ],
  );
  const installs = results.filter(({ stderr }) => stderr.includes('npm packages'));
  assert.equal(installs.length, 1);
});

test('a signal reaches the command, whose way of ending is kept', async () => {
  using checkout = makeCheckout(
    'process.on("SIGINT", () => { console.log("cancelled"); process.exitCode = 9; clearInterval(alive); });' +
      'const alive = setInterval(() => {}, 1000); console.log("ready");',
  );
  const child = spawn(
    process.execPath,
    [path.join(checkout.root, 'tools/bootstrap.mjs'), 'check'],
    {
      env: environment,
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout === '' && text.includes('ready')) child.kill('SIGINT');
    stdout += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(stdout, 'ready\ncancelled\n');
  assert.equal(code, 9);
});

test('the bootstrap needs nothing but Node', () => {
  const folder = path.join(import.meta.dirname, 'bootstrap');
  for (const file of [
    '../bootstrap.mjs',
    'npm-packages.mjs',
    'debian-packages.mjs',
    'program.mjs',
  ]) {
    assert.ok(statSync(path.join(folder, file)).isFile());
    const imports = readFileSync(path.join(folder, file), 'utf8').matchAll(/ from '([^']+)'/g);
    for (const [, specifier] of imports) assert.match(specifier ?? '', /^(node:|\.)/);
  }
});
