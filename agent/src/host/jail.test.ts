/** The jail, with real programs in it, looked at from inside by them and from outside in /proc. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { chmod, chown, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { findJail, furnishJail, JAIL_SECRET_PATH, type Jail } from './jail.ts';

checkLeaksAfterEach();

/** Numbers that nothing else here runs as; nobody (Debian policy, section 9.2.2). */
const USER = 1_999_999_999;
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'needs root, to be another user';

/** Not below a home: others must get there. */
const newDirectory = async (): Promise<{ path: string } & AsyncDisposable> =>
  await mkdtempDisposable('/tmp/onejob-jail-');

type Run = { status: number | null; output: string };

/** Runs a program to its end with something to read. */
async function run(
  directory: string,
  program: string,
  args: readonly string[],
  options: { files?: Parameters<typeof furnishJail>[1]['files']; input?: string } = {},
): Promise<Run> {
  const jail = await findJail(program, []);
  const use = {
    directory,
    files: options.files ?? [],
    user: USER,
    kvm: false,
    largestFileBytes: 4096,
  };
  const [command = '', ...words] = await furnishJail(jail, use, args);
  return await finish(command, words, options.input ?? '');
}

async function finish(command: string, words: readonly string[], input: string): Promise<Run> {
  const child = spawn(command, words, { env: {}, stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  }
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}

describe('as root', { skip }, () => {
  test('there are the files of the program and what it was given, and no others', async () => {
    await using place = await newDirectory();
    const given = join(place.path, 'given file');
    await writeFile(given, 'of the host');
    const find = execFileSync('sh', ['-c', 'command -v find'], { encoding: 'utf8' }).trim();
    const directory = join(place.path, 'a jail');
    const files = [{ source: given, target: '/seen/it', access: 'read' }] as const;
    const said = await run(directory, find, ['/', '!', '-type', 'd'], { files });
    assert.equal(said.status, 0, said.output);
    const jail = await findJail(find, []);
    assert.deepEqual(
      said.output.trim().split('\n').toSorted(),
      [
        ...jail.system.map(({ path }) => path),
        ...['/dev/null', '/dev/zero', '/dev/urandom', '/seen/it', JAIL_SECRET_PATH],
      ].toSorted(),
    );
  });

  test('what is given to read cannot be written, what is given to write is the host’s file', async () => {
    await using place = await newDirectory();
    const [kept, open] = [join(place.path, 'kept'), join(place.path, 'open')];
    for (const path of [kept, open]) {
      await writeFile(path, 'before');
      await chown(path, USER, USER);
      await chmod(path, 0o644);
    }
    const files = [
      { source: kept, target: '/kept', access: 'read' },
      { source: open, target: '/open', access: 'write' },
    ] as const;
    const jail = join(place.path, 'jail');
    const script = 'echo after > /open; echo after > /kept; echo after > /new; echo "$?"';
    const said = await run(jail, '/bin/sh', ['-c', script], { files });
    assert.match(said.output, /kept: Read-only file system/);
    assert.match(said.output, /new: Read-only file system|new: Permission denied/);
    assert.equal(readFileSync(kept, 'utf8'), 'before');
    assert.equal(readFileSync(open, 'utf8'), 'after\n');
  });

  test('a file that it writes gets no longer than was said', async () => {
    await using place = await newDirectory();
    const open = join(place.path, 'open');
    await writeFile(open, '');
    await chown(open, USER, USER);
    const files = [{ source: open, target: '/open', access: 'write' }] as const;
    const script = 'trap "" XFSZ; while printf %01024d 0 >> /open; do :; done';
    const said = await run(join(place.path, 'jail'), '/bin/sh', ['-c', script], { files });
    assert.match(said.output, /I\/O error|File too large/);
    assert.equal(statSync(open).size, 4096);
  });

  test('the secret is there to be read, and in no argument, environment or file of a disk', async () => {
    await using place = await newDirectory();
    const jail = join(place.path, 'jail');
    const secret = 'the-passphrase-of-this-test';
    const script = `read -r line < ${JAIL_SECRET_PATH}; echo "read $line"`;
    const said = await run(jail, '/bin/sh', ['-c', script], { input: `${secret}\n` });
    assert.equal(said.output, `read ${secret}\n`);
    const inFiles = readdirSync(jail, { recursive: true, encoding: 'utf8' })
      .map((name) => join(jail, name))
      .filter((path) => statSync(path).isFile())
      .filter((path) => readFileSync(path, 'utf8').includes(secret));
    assert.deepEqual(inFiles, []);
    assert.equal(existsSync(join(jail, 'root', JAIL_SECRET_PATH)), false);
  });

  test('it is another user without groups or capabilities, in namespaces of its own', async () => {
    await using place = await newDirectory();
    const jail = await findJail('/bin/sleep', []);
    const use = {
      directory: join(place.path, 'jail'),
      files: [],
      user: USER,
      kvm: false,
      largestFileBytes: 4096,
    };
    const [command = '', ...words] = await furnishJail(jail, use, ['60']);
    const child = spawn(command, words, { env: { A: 'b' }, stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin.end();
    const pid = await childNamed('sleep', child.pid ?? 0);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): string =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? 'none';
    assert.deepEqual(
      field('Uid').split(/\s+/),
      Array.from({ length: 4 }, () => String(USER)),
    );
    assert.deepEqual(
      field('Gid').split(/\s+/),
      Array.from({ length: 4 }, () => String(USER)),
    );
    assert.equal(field('Groups'), '');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      assert.match(field(set), /^0+$/, set);
    }
    assert.equal(field('NoNewPrivs'), '1');
    for (const kind of ['mnt', 'pid', 'ipc', 'uts', 'net']) {
      const of = (who: string | number): string => readlinkSync(`/proc/${who}/ns/${kind}`);
      assert.notEqual(of(pid), of('self'), kind);
    }
    assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8'), 'A=b\0');
    const interfaces = readFileSync(`/proc/${pid}/net/dev`, 'utf8').match(/^\s*\w+:/gm);
    assert.deepEqual(
      interfaces?.map((one) => one.trim()),
      ['lo:'],
    );
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
    const places = mounts.map((line) => line.split(' ')[4]);
    assert.ok(
      !places.some((path) => /^\/(old|proc|sys|etc|home)(\/|$)/.test(path ?? '')),
      places.join(' '),
    );
    // It dies with who waits for it, although the change of user has forgotten that once.
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (const deadline = performance.now() + 10_000; isAlive(pid);) {
      assert.ok(performance.now() < deadline, 'it lives on');
      await sleep(5);
    }
  });

  test('a file that its user may not read is told by its name, with what to do', async () => {
    await using place = await newDirectory();
    const closed = join(place.path, 'closed');
    await writeFile(closed, '', { mode: 0o600 });
    const show = async (source: string): Promise<Run> =>
      await run(join(place.path, 'jail'), '/bin/true', [], {
        files: [{ source, target: '/it', access: 'read' }],
      });
    await assert.rejects(show(closed), { message: /chmod o\+r .*closed/ });
    await assert.rejects(show(join(place.path, 'missing')), { message: /missing.*ENOENT/ });
  });

  test('without root it is namespaces and a root directory all the same, where the host allows', async (context) => {
    await using place = await newDirectory();
    const asNobody = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', '--'];
    const allowed = await finish('setpriv', [...asNobody, 'unshare', '--user', 'true'], '');
    if (allowed.status !== 0) return context.skip('this host refuses user namespaces to users');
    const jail: Jail = { ...(await findJail('/bin/sh', [])), level: 'namespaces' };
    const directory = join(place.path, 'jail');
    const use = { directory, files: [], user: undefined, kvm: false, largestFileBytes: 4096 };
    const script = 'echo /*; ulimit -c; read -r x < /run/secret; echo "$x"';
    const words = await furnishJail(jail, use, ['-c', script]);
    for (const path of [place.path, directory]) await chmod(path, 0o755);
    const said = await finish('setpriv', [...asNobody, ...words], 'known\n');
    assert.equal(said.status, 0, said.output);
    assert.match(said.output, /^\/bin \/dev \/lib( \/lib64)? \/old \/proc \/run \/usr$/m);
    assert.match(said.output, /^0\nknown$/m, 'no core dump, and the secret');
  });
});

/** A dead one whom nobody has waited for, as under an init that waits for none, is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The process of this name below another, once it is there. */
async function childNamed(name: string, ancestor: number): Promise<number> {
  for (;;) {
    for (const pid of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
      try {
        const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        const command = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
        if (Number(parent) === ancestor && command === name) return Number(pid);
      } catch {
        // ended meanwhile
      }
    }
    await sleep(5);
  }
}
