/**
 * Installing Debian packages, with an apt-get in place of the real one: it writes down how it was
 * called and what it found, and puts the program of a package on PATH. Everything else is as in a
 * set-up; its paths lie in a folder of the test.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PACKAGES_OF_COMMAND, missingPackages } from './debian-packages.mjs';

const MODULE = fileURLToPath(new URL('./debian-packages.mjs', import.meta.url));
const WANTED = [
  { name: 'onejob-test-here', why: 'is there already', proof: ['onejob-test-here'] },
  { name: 'onejob-test-thing', why: 'does the thing', proof: ['onejob-test-thing'] },
];
const SCRIPT = `import { ensureDebianPackages } from ${JSON.stringify(MODULE)};
  try {
    await ensureDebianPackages(JSON.parse(process.argv[1]), JSON.parse(process.argv[2]));
    console.log('went on');
  } catch (error) {
    console.log(JSON.stringify({ message: error.message, remedy: error.remedy }));
  }`;

/** A machine on which the first wanted package is there, and whose apt-get does as `install` says. */
function makeMachine(install = 'printf "#!/bin/sh\\n" > "$BIN/$last"; chmod 755 "$BIN/$last"') {
  const folder = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-debian-test-'));
  const at = (/** @type {string} */ name) => path.join(folder.path, name);
  mkdirSync(at('bin'));
  mkdirSync(at('lists'));
  writeFileSync(at('lists/deb.example_dists_x_Packages'), '');
  const program = (/** @type {string} */ file, /** @type {string} */ text) => {
    writeFileSync(at(file), `#!/bin/sh\n${text}\n`);
    chmodSync(at(file), 0o755);
  };
  program('bin/onejob-test-here', '');
  program(
    'apt-get',
    `for last; do :; done
BIN=${at('bin')}
policy=absent; [ -x ${at('policy-rc.d')} ] && policy=present
echo "$policy $DEBIAN_FRONTEND $*" >> ${at('calls')}
echo "pmstatus:$last:50.0:Unpacking $last" >&3
case " $* " in *" install "*) ${install};; esac`,
  );
  const machine = {
    isRoot: true,
    aptGet: at('apt-get'),
    aptLists: at('lists'),
    policyFile: at('policy-rc.d'),
    clusterFile: at('createcluster.d/onejob-setup.conf'),
  };
  return {
    at,
    ensure(changed = {}) {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [
          '--input-type=module',
          '-e',
          SCRIPT,
          JSON.stringify(WANTED),
          JSON.stringify({ ...machine, ...changed }),
        ],
        { encoding: 'utf8', env: { PATH: `${at('bin')}:/usr/bin:/bin` } },
      );
      assert.equal(status, 0, stderr);
      return { said: stderr, result: stdout.trim() };
    },
    calls: () =>
      existsSync(at('calls')) ? readFileSync(at('calls'), 'utf8').trim().split('\n') : [],
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

test('root is told what will be installed and why, then it is installed, once', () => {
  using machine = makeMachine();
  const { said, result } = machine.ensure();
  assert.equal(result, 'went on');
  const named = said.indexOf('onejob-test-thing does the thing');
  assert.ok(named >= 0 && named < said.indexOf('Debian packages ('), said);
  assert.ok(!said.includes('onejob-test-here'));
  const [call, ...more] = machine.calls();
  assert.match(
    call ?? '',
    /^present noninteractive .*install -y --no-install-recommends onejob-test-thing$/,
  );
  assert.deepEqual(more, []);
  assert.ok(!existsSync(machine.at('policy-rc.d')), 'services may start again');

  assert.deepEqual(machine.ensure(), { said: '', result: 'went on' });
  assert.equal(machine.calls().length, 1);
});

test('others are told the one line to type, and it goes on with what is there', () => {
  using machine = makeMachine();
  const { said, result } = machine.ensure({ isRoot: false });
  assert.equal(result, 'went on');
  const lines = said.split('\n').filter((line) => line.includes('apt-get install'));
  assert.deepEqual(lines, [
    '  To install: sudo apt-get install --no-install-recommends onejob-test-thing',
  ]);
  assert.match(said, /onejob-test-thing does the thing/);
  assert.deepEqual(machine.calls(), []);
});

test('on a machine without apt what is missing is named, and it goes on', () => {
  using machine = makeMachine();
  const { said, result } = machine.ensure({ aptGet: '/nonexistent/apt-get' });
  assert.equal(result, 'went on');
  assert.match(said, /no Debian.*\n.*onejob-test-thing does the thing/);
});

test('lists that are missing or too old are fetched once, and the installation is tried again', () => {
  using machine = makeMachine();
  machine.ensure({ aptLists: '/nonexistent' });
  assert.deepEqual(
    machine.calls().map((call) => /(update|install)/.exec(call)?.[0]),
    ['update', 'install'],
  );
  using old = makeMachine(
    'if [ -e "$BIN/.once" ]; then ln -s onejob-test-here "$BIN/$last"; else : > "$BIN/.once"; echo "404 Not Found"; exit 100; fi',
  );
  assert.equal(old.ensure().result, 'went on');
  assert.deepEqual(
    old.calls().map((call) => /(update|install)/.exec(call)?.[0]),
    ['install', 'update', 'install'],
  );
});

test('an installation that fails, or brings no program, says what to do and leaves nothing put down', () => {
  for (const { install, message } of [
    { install: 'echo "E: no space"; exit 100', message: /ended with exit code 100/ },
    { install: ':', message: /still no onejob-test-thing/ },
  ]) {
    using machine = makeMachine(install);
    const { message: said, remedy } = JSON.parse(machine.ensure().result);
    assert.match(said, message);
    assert.match(remedy, /apt-get install .*onejob-test-thing/);
    assert.ok(!existsSync(machine.at('policy-rc.d')));
  }
});

test(
  'a package that dpkg says is installed is recognised by its proof',
  { skip: existsSync('/usr/bin/dpkg-query') ? false : 'this is no Debian' },
  () => {
    const format = ['-f', '${db:Status-Status} ${Package}\\n'];
    const installed = new Set(
      execFileSync('dpkg-query', ['-W', ...format], { encoding: 'utf8' }).split('\n'),
    );
    const packages = new Map(
      Object.values(PACKAGES_OF_COMMAND).flatMap((list) => list.map((one) => [one.name, one])),
    );
    const here = [...packages.values()].filter(({ name }) => installed.has(`installed ${name}`));
    assert.ok(here.length > 0, 'util-linux is on every Debian');
    assert.deepEqual(missingPackages(here), []);
  },
);
