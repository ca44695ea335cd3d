import assert from 'node:assert/strict';
import { chmod, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { findCgroups } from '../../host/cgroup.ts';
import { pidNamespacePrefix } from '../../host/pid-namespace.ts';
import { createGvisorDriver } from './driver.ts';

const isRefused =
  process.getuid?.() !== 0 ||
  'whyNot' in (await findCgroups()) ||
  (await pidNamespacePrefix()).length === 0;
const skip = isRefused && 'needs root, control groups and PID namespaces';

test(
  'the mode that works is tried once on a host, one that does not each time',
  { skip },
  async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-runsc-'));
    const runscPath = join(directory.path, 'runsc');
    const tries = join(directory.path, 'tries');
    const works = join(directory.path, 'works');
    const script = [
      '#!/bin/sh',
      `. '${directory.path}/version'`,
      `echo "$*" >> '${tries}'`,
      `case "$*" in *--platform=ptrace*--overlay2*) [ -e '${works}' ] && exit 0;; esac`,
      'echo "no such platform" >&2; exit 1',
    ];
    await writeFile(runscPath, script.map((line) => `${line}\n`).join(''));
    await chmod(runscPath, 0o755);
    const version = async (number: string): Promise<void> =>
      await writeFile(
        join(directory.path, 'version'),
        `[ "$1" = --version ] && { echo "runsc version ${number}"; exit 0; }\n`,
      );
    const start = async () =>
      await createGvisorDriver({
        ...{ hostMarker: 'onejob-test', runscPath },
        cacheDirectory: join(directory.path, 'cache'),
      }).probe();
    const count = async (): Promise<number> =>
      (await readFile(tries, 'utf8')).trimEnd().split('\n').length;

    await version('1');
    const refused = await start();
    assert.equal(refused.works, false);
    assert.match(refused.note, /runs nothing on this host .*systrap: no such platform/);
    const all = await count();
    await start();
    assert.equal(await count(), 2 * all, 'a failure is not remembered');

    await writeFile(works, '');
    const found = await start();
    assert.match(found.note, /gVisor 1, ptrace/);
    const before = await count();
    assert.ok(before > 2 * all);
    assert.deepEqual(await start(), found);
    assert.equal(await count(), before);

    await version('2');
    assert.match((await start()).note, /gVisor 2, ptrace/);
    assert.ok((await count()) > before, 'another runsc is tried');
  },
);
