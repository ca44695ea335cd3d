import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CliError } from '../errors.ts';
import { changedPaths, fingerprint, runGit, ScratchRepository, unpack } from './_repository.ts';
import { takeSnapshot } from './snapshot.ts';

const scratchFolders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('onejob-snapshot-'));

/** Takes a snapshot and returns its files; fails when a byte of the repository changed. */
async function snapshotOf(directory: string, repository = directory) {
  const before = fingerprint(repository);
  await using snapshot = await takeSnapshot(directory);
  const files = await unpack(snapshot);
  assert.deepEqual(changedPaths(before, fingerprint(repository)), []);
  return { snapshot, files };
}

test('a clean checkout is its own commit', async () => {
  using repository = new ScratchRepository();
  repository.write('a.txt', 'a');
  repository.commit('first line\n\nmore');
  const { snapshot, files } = await snapshotOf(repository.directory);
  assert.equal(snapshot.sha, repository.git('rev-parse', 'HEAD'));
  assert.equal(snapshot.clean, true);
  assert.equal(snapshot.ref, 'refs/heads/main');
  assert.equal(snapshot.message, 'first line\n\nmore');
  assert.deepEqual(snapshot.author, { name: 'Ada', email: 'ada@example.test' });
  assert.deepEqual(files, { '100644 a.txt': 'a' });
});

test('what is changed, new, staged, deleted or ignored is in the snapshot as it is on disk', async () => {
  using repository = new ScratchRepository();
  repository.write('.gitignore', 'ignored\nsecret/\n');
  for (const name of ['changed', 'deleted', 'staged', 'staged-then-changed', 'same']) {
    repository.write(name, `old ${name}`);
  }
  repository.write('deep/er/file', 'old');
  repository.commit();
  repository.write('changed', 'new');
  repository.write('staged', 'new');
  repository.write('staged-then-changed', 'in the index');
  repository.git('add', 'staged', 'staged-then-changed');
  repository.write('staged-then-changed', 'on disk');
  repository.write('deep/er/new file', 'new');
  repository.write('ignored', 'not for others');
  repository.write('secret/key', 'not for others');
  rmSync(join(repository.directory, 'deleted'));
  repository.git('stash', 'create');
  const { snapshot, files } = await snapshotOf(repository.directory);
  assert.equal(snapshot.clean, false);
  assert.equal(snapshot.before, repository.git('rev-parse', 'HEAD'));
  assert.deepEqual(files, {
    '100644 .gitignore': 'ignored\nsecret/',
    '100644 changed': 'new',
    '100644 deep/er/file': 'old',
    '100644 deep/er/new file': 'new',
    '100644 same': 'old same',
    '100644 staged': 'new',
    '100644 staged-then-changed': 'on disk',
  });
});

test('a file changed in the very second of the last git add is not taken for unchanged', async () => {
  using repository = new ScratchRepository();
  repository.write('file', 'aaaa');
  repository.commit();
  repository.write('file', 'bbbb');
  // Same size, same second as the index: only reading tells them apart.
  const index = statSync(join(repository.directory, '.git', 'index'));
  const second = Math.floor(index.mtimeMs / 1000);
  utimesSync(join(repository.directory, '.git', 'index'), second, second);
  utimesSync(join(repository.directory, 'file'), second, second);
  const { files } = await snapshotOf(repository.directory);
  assert.deepEqual(files, { '100644 file': 'bbbb' });
});

test('executable bits and symbolic links are kept, where they point or not', async () => {
  using repository = new ScratchRepository();
  repository.write('run.sh', '#!/bin/sh');
  repository.commit();
  chmodSync(join(repository.directory, 'run.sh'), 0o755);
  symlinkSync('run.sh', join(repository.directory, 'link'));
  symlinkSync('/nowhere/at/all', join(repository.directory, 'dangling'));
  const { files } = await snapshotOf(repository.directory);
  assert.deepEqual(files, {
    '100755 run.sh': '#!/bin/sh',
    '120000 dangling': '/nowhere/at/all',
    '120000 link': 'run.sh',
  });
});

test('what came before a clean checkout is the parent of its commit, where there is one', async () => {
  using repository = new ScratchRepository();
  const before = async (directory: string): Promise<string> => {
    const { snapshot } = await snapshotOf(directory);
    assert.equal(snapshot.clean, true);
    return snapshot.before;
  };
  repository.write('a', 'a');
  repository.commit('first');
  assert.equal(await before(repository.directory), '0'.repeat(40));
  repository.write('b', 'b');
  repository.commit('second');
  assert.equal(await before(repository.directory), repository.git('rev-parse', 'HEAD~1'));
  const shallow = join(repository.base, 'shallow');
  repository.git('clone', '--quiet', '--depth=1', `file://${repository.directory}`, shallow);
  assert.equal(await before(shallow), '0'.repeat(40));
});

test('a branch without a commit is taken, with and without an index', async () => {
  using repository = new ScratchRepository();
  repository.write('a.txt', 'a');
  const first = await snapshotOf(repository.directory);
  assert.equal(first.snapshot.before, '0'.repeat(40));
  assert.equal(first.snapshot.ref, 'refs/heads/main');
  assert.deepEqual(first.files, { '100644 a.txt': 'a' });
  repository.git('add', 'a.txt');
  repository.write('b.txt', 'b');
  const second = await snapshotOf(repository.directory);
  assert.deepEqual(second.files, { '100644 a.txt': 'a', '100644 b.txt': 'b' });
});

test('a detached checkout is taken', async () => {
  using repository = new ScratchRepository();
  repository.write('a.txt', 'a');
  repository.commit();
  repository.git('checkout', '--quiet', '--detach');
  repository.write('a.txt', 'changed');
  const { snapshot, files } = await snapshotOf(repository.directory);
  assert.equal(snapshot.ref, 'refs/heads/detached');
  assert.deepEqual(files, { '100644 a.txt': 'changed' });
});

test('a linked worktree is taken with its own index and branch', async () => {
  using repository = new ScratchRepository();
  repository.write('a.txt', 'a');
  repository.commit();
  const linked = join(repository.base, 'linked');
  repository.git('worktree', 'add', '--quiet', '-b', 'side', linked);
  rmSync(join(linked, 'a.txt'));
  repository.write('../linked/b.txt', 'b');
  const { snapshot, files } = await snapshotOf(linked, repository.base);
  assert.equal(snapshot.ref, 'refs/heads/side');
  assert.deepEqual(files, { '100644 b.txt': 'b' });
});

test('a shallow clone is read as it is, and nothing in it changes', async () => {
  using repository = new ScratchRepository();
  for (const content of ['1', '2', '3']) {
    repository.write('a.txt', content);
    repository.commit(content);
  }
  const clone = join(repository.base, 'clone');
  repository.git('clone', '--quiet', '--depth=2', `file://${repository.directory}`, clone);
  const before = fingerprint(clone);
  await using snapshot = await takeSnapshot(clone);
  assert.deepEqual([snapshot.sha, snapshot.clean], [repository.git('rev-parse', 'HEAD'), true]);
  assert.deepEqual(changedPaths(before, fingerprint(clone)), []);
});

test('a submodule is the commit that is checked out in it', async () => {
  using inner = new ScratchRepository('inner');
  inner.write('i.txt', 'i');
  inner.commit();
  using repository = new ScratchRepository();
  repository.git('submodule', '--quiet', 'add', `file://${inner.directory}`, 'sub');
  repository.commit();
  const sub = join(repository.directory, 'sub');
  repository.write('sub/i.txt', 'changed inside');
  runGit(sub, ['commit', '--quiet', '--all', '--message=inside']);
  repository.write('sub/i.txt', 'changed again, not committed');
  const { files } = await snapshotOf(repository.directory);
  assert.equal(files['160000 sub'], runGit(sub, ['rev-parse', 'HEAD']));
  assert.deepEqual(Object.keys(files), ['100644 .gitmodules', '160000 sub']);
});

test('a repository inside the repository that has no commit is named, with the way out', async () => {
  using repository = new ScratchRepository();
  repository.write('a.txt', 'a');
  repository.git('init', '--quiet', 'nested');
  const before = scratchFolders();
  await assert.rejects(takeSnapshot(repository.directory), (error: CliError) => {
    assert.match(error.message, /nested/);
    assert.match(error.message, /commit in it, or ignore it/);
    assert.equal(error.exitCode, 3);
    return true;
  });
  assert.deepEqual(scratchFolders(), before);
});

test('a sparse checkout keeps what is not on disk, and takes what is new outside of its cone', async () => {
  using repository = new ScratchRepository();
  repository.write('in/a', 'a');
  repository.write('out/b', 'b');
  repository.commit();
  repository.git('sparse-checkout', 'set', 'in');
  assert.equal(existsSync(join(repository.directory, 'out')), false);
  repository.write('out/c', 'c');
  const { files } = await snapshotOf(repository.directory);
  assert.deepEqual(files, { '100644 in/a': 'a', '100644 out/b': 'b', '100644 out/c': 'c' });
});

test('paths with spaces, quotes, colons and letters of any script work', async () => {
  using repository = new ScratchRepository('a b:c "d" \\e ÄÖ 日本');
  repository.write('ü ñ/日本 "x".txt', 'text');
  repository.commit();
  repository.write('new: file', 'new');
  const { snapshot, files } = await snapshotOf(repository.directory);
  assert.deepEqual(Object.values(files).toSorted(), ['new', 'text']);
  assert.equal(snapshot.root, repository.directory);
  assert.match(snapshot.repository, /^local\/[A-Za-z0-9._-]+$/);
});

test('from a folder inside, the whole checkout is taken', async () => {
  using repository = new ScratchRepository();
  repository.write('top', 'top');
  repository.write('in/side', 'side');
  const { snapshot, files } = await snapshotOf(
    join(repository.directory, 'in'),
    repository.directory,
  );
  assert.equal(snapshot.root, repository.directory);
  assert.deepEqual(files, { '100644 in/side': 'side', '100644 top': 'top' });
});

test('hooks, signatures and monitors of the configuration are not run', async () => {
  using repository = new ScratchRepository();
  repository.write('a.txt', 'a');
  repository.commit();
  const proof = join(repository.base, 'hook-ran');
  repository.write('.git/hooks/post-index-change', `#!/bin/sh\ntouch '${proof}'\n`);
  chmodSync(join(repository.directory, '.git/hooks/post-index-change'), 0o755);
  repository.git('config', 'core.fsmonitor', `touch '${proof}' #`);
  repository.git('config', 'commit.gpgSign', 'true');
  repository.git('config', 'log.showSignature', 'true');
  repository.git(
    'config',
    'gpg.program',
    join(repository.directory, '.git/hooks/post-index-change'),
  );
  repository.git('config', 'core.splitIndex', 'true');
  rmSync(proof, { force: true });
  repository.write('a.txt', 'changed');
  const { files } = await snapshotOf(repository.directory);
  assert.deepEqual(files, { '100644 a.txt': 'changed' });
  assert.equal(existsSync(proof), false, 'a program of the configuration ran');
});

test('a pack for somebody who has the history holds only what is new', async () => {
  using repository = new ScratchRepository();
  repository.write(
    'big',
    Array.from({ length: 5000 }, (_, line) => `line ${line * 7919}`).join('\n'),
  );
  repository.commit();
  const head = repository.git('rev-parse', 'HEAD');
  repository.write('small', 'small');
  await using snapshot = await takeSnapshot(repository.directory);
  const far = mkdtempSync(join(tmpdir(), 'onejob-test-far-'));
  runGit(repository.base, ['clone', '--quiet', '--bare', repository.directory, far]);
  const files = await unpack(snapshot, [head, '1'.repeat(40)], far);
  assert.equal(files['100644 small'], 'small');
  const size = async (tips: string[]): Promise<number> =>
    (await (await snapshot.pack(tips)).toArray()).reduce(
      (sum: number, one: Buffer) => sum + one.length,
      0,
    );
  assert.ok((await size([head])) * 10 < (await size([])));
});

test('the repository has the name of its remote, however the remote is written', async () => {
  using repository = new ScratchRepository('some where');
  const nameWith = async (url: string | undefined): Promise<string> => {
    repository.git('config', '--replace-all', 'remote.origin.url', url ?? '');
    await using snapshot = await takeSnapshot(repository.directory);
    return snapshot.repository;
  };
  for (const url of [
    'https://example.test/ada/engine.git',
    'https://user:token@example.test:8443/group/ada/engine',
    'ssh://git@example.test:22/ada/engine.git',
    'git@example.test:ada/engine.git',
    'git@example.test:ada/engine/',
  ]) {
    assert.equal(await nameWith(url), 'ada/engine', url);
  }
  assert.equal(await nameWith('/srv/git/engine.git'), 'local/some-where');
});

test('a directory without a checkout is refused with a way to make one', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-test-nothing-'));
  const before = scratchFolders();
  await assert.rejects(takeSnapshot(directory), (error: CliError) => {
    assert.equal(error.code, 'no_checkout');
    assert.match(error.message, /git init/);
    return true;
  });
  mkdirSync(join(directory, 'bare'));
  runGit(join(directory, 'bare'), ['init', '--quiet', '--bare']);
  await assert.rejects(takeSnapshot(join(directory, 'bare')), {
    code: 'no_checkout',
    message: /is a bare repository.*git clone/,
  });
  rmSync(directory, { recursive: true });
  assert.deepEqual(scratchFolders(), before);
});

test('nothing is left of a snapshot in the temporary directory', async () => {
  using repository = new ScratchRepository();
  repository.write('a', 'a');
  const before = scratchFolders();
  {
    await using _ = await takeSnapshot(repository.directory);
    assert.equal(scratchFolders().length, before.length + 1);
  }
  assert.deepEqual(scratchFolders(), before);
});
