/** What a user of its own has around it, by commands that are really run as one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { inView, ownUserCommand, tryOwnUser } from './own-user.ts';
import { SANDBOX_USERS } from './sandbox-user.ts';

const NODE = { nodePath: process.execPath, directories: [] };
/** Nobody's but this file's. */
const UID = SANDBOX_USERS.first + SANDBOX_USERS.count;
const tried = await tryOwnUser(NODE);
const made: string[] = [];
after(() => made.forEach((path) => rmSync(path, { recursive: true })));

function makeDirectory(parent: string): string {
  const path = mkdtempSync(join(parent, 'onejob-user-'));
  made.push(path);
  return path;
}

/** Its directories lie below `parent`; answers what the script printed. */
function runAsUser(parent: string, script: string): string {
  const directory = makeDirectory(parent);
  const at = (name: string): string => join(directory, name);
  for (const name of ['home', 'scratch']) {
    mkdirSync(at(name), { mode: 0o700 });
    chownSync(at(name), UID, UID);
  }
  writeFileSync(at('note'), 'from the host\n');
  const [command = '', ...args] = ownUserCommand({
    ...{ uid: UID, home: inView('home'), scratch: at('scratch') },
    bound: [
      { kind: 'directory', source: at('home'), name: 'home' },
      { kind: 'file', source: at('note'), name: 'note' },
    ],
    command: ['/bin/sh', '-c', script],
  });
  return execFileSync(command, args, { encoding: 'utf8' });
}

describe('a user of its own', { skip: 'whyNot' in tried ? tried.whyNot : false }, () => {
  test('has a name and a home, which ssh does not run without, and changes no list of users', () => {
    const said = runAsUser(
      tmpdir(),
      'id -un; id -gn; getent passwd "$(id -u)"; getent passwd root > /dev/null && echo others; ' +
        'test -w /etc/passwd || echo kept',
    );
    const name = `onejob-${UID}`;
    const entry = `${name}:x:${UID}:${UID}::${inView('home')}:/bin/sh`;
    assert.equal(said, `${name}\n${name}\n${entry}\nothers\nkept\n`);
  });

  test('finds what is its own, wherever on the host that lies: below its own view, too', () => {
    for (const parent of [tmpdir(), '/dev/shm', inView('')]) {
      const said = runAsUser(
        parent,
        `cat ${inView('note')}; for place in ${inView('home')} /tmp; do touch $place/a && echo "$place"; done`,
      );
      assert.equal(said, `from the host\n${inView('home')}\n/tmp\n`, parent);
    }
  });

  test('is not sent to look where it may not', async () => {
    const closed = makeDirectory('/var/lib');
    const places = [closed, join(closed, 'none'), '/usr/bin', inView('bin'), '/nowhere'];
    assert.deepEqual(await tryOwnUser({ ...NODE, directories: places }), {
      directories: ['/usr/bin'],
    });
  });

  test('is not promised with a Node that it cannot run', async () => {
    const nodePath = join(makeDirectory('/var/lib'), 'node');
    writeFileSync(nodePath, '#!/bin/sh\n');
    chmodSync(nodePath, 0o700);
    assert.deepEqual(await tryOwnUser({ ...NODE, nodePath }), {
      whyNot: `${nodePath} cannot be run as another user`,
    });
  });
});
