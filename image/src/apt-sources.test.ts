import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  archivesForGuest,
  formatSources,
  parseDeb822,
  parseOneLine,
  readDebianArchives,
  selectDebian,
} from './apt-sources.ts';
import { ImageError } from './errors.ts';

const DEB822 = `# what Debian's installer writes
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# a comment inside a stanza
URIs: http://mirror.example/debian-security/
Suites:
 bookworm-security
Components: main
`;

test('deb822 sources are read with comments, several suites and continued lines', () => {
  assert.deepEqual(selectDebian(parseDeb822(DEB822)), [
    { uri: 'http://mirror.example/debian', suite: 'bookworm', checkValidUntil: true },
    { uri: 'http://mirror.example/debian', suite: 'bookworm-updates', checkValidUntil: true },
    {
      uri: 'http://mirror.example/debian-security/',
      suite: 'bookworm-security',
      checkValidUntil: true,
    },
  ]);
});

test('one-line sources are read with options and comments', () => {
  const text = [
    'deb [arch=amd64 check-valid-until=no] http://snapshot.example/debian bookworm main # old',
    'deb-src http://mirror.example/debian bookworm main',
    '# deb http://mirror.example/debian bookworm-updates main',
    'deb http://mirror.example/debian bookworm-security main contrib',
  ].join('\n');
  assert.deepEqual(selectDebian(parseOneLine(text)), [
    { uri: 'http://snapshot.example/debian', suite: 'bookworm', checkValidUntil: false },
    { uri: 'http://mirror.example/debian', suite: 'bookworm-security', checkValidUntil: true },
  ]);
});

test('archives of others are left out: other key, other suite, other component, disabled', () => {
  const deb822 = [
    'Types: deb\nURIs: https://a.example\nSuites: bookworm\nComponents: main\nSigned-By: /usr/share/keyrings/vendor.gpg',
    'Types: deb\nURIs: https://b.example\nSuites: nodistro\nComponents: main',
    'Types: deb\nURIs: https://c.example\nSuites: bookworm\nComponents: stable',
    'Types: deb\nURIs: https://d.example\nSuites: bookworm\nComponents: main\nEnabled: no',
    'Types: deb\nURIs: https://e.example\nSuites: bookworm\nComponents: main\nArchitectures: arm64',
    'Types: deb\nURIs: https://f.example\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ',
    'Types: deb\nURIs: cdrom:[Debian]/\nSuites: bookworm\nComponents: main',
  ].join('\n\n');
  assert.deepEqual(selectDebian(parseDeb822(deb822)), []);
  const oneLine = 'deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://g.example bookworm main';
  assert.deepEqual(selectDebian(parseOneLine(oneLine)), []);
});

test('an archive that is named twice is used once', () => {
  const line = 'deb http://mirror.example/debian bookworm main';
  assert.equal(
    selectDebian(parseOneLine(`${line}\n${line.replace('debian ', 'debian/ ')}`)).length,
    1,
  );
});

test('what is written reads back the same, and demands the key of Debian', () => {
  const archives = selectDebian(parseDeb822(DEB822));
  const text = formatSources([
    ...archives,
    { uri: 'http://s.example', suite: 'bookworm', checkValidUntil: false },
  ]);
  assert.equal(selectDebian(parseDeb822(text)).length, 4);
  assert.equal(text.match(/^Signed-By: .*debian-archive-keyring\.gpg$/gm)?.length, 4);
  assert.equal(text.match(/^Check-Valid-Until: no$/gm)?.length, 1);
});

test('the guest sees no password and no archive that is only on the host', () => {
  const common = { suite: 'bookworm', checkValidUntil: true };
  const forGuest = archivesForGuest([
    { uri: 'https://user:secret@mirror.example/debian', ...common },
    { uri: 'file:/srv/mirror/debian', ...common },
  ]);
  assert.deepEqual(forGuest, [{ uri: 'https://mirror.example/debian', ...common }]);
});

test('files of both formats and mirror lists are found below the apt directory', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-apt-'));
  const parts = join(scratch.path, 'sources.list.d');
  await mkdir(parts);
  const list = join(scratch.path, 'mirrors.list');
  await writeFile(
    list,
    '# nearest first\nhttps://near.example/debian\tpriority:1\nhttps://far.example/debian\n',
  );
  await writeFile(join(scratch.path, 'sources.list'), `deb mirror+file:${list} bookworm main\n`);
  await writeFile(join(parts, 'more.sources'), DEB822);
  await writeFile(join(parts, 'off.list.disabled'), 'deb http://off.example bookworm main\n');
  const uris = (await readDebianArchives(scratch.path)).map(({ uri }) => uri);
  assert.deepEqual(uris, [
    'https://near.example/debian',
    'http://mirror.example/debian',
    'http://mirror.example/debian',
    'http://mirror.example/debian-security/',
  ]);
});

test('a host without the release in its sources is told what to add', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-apt-'));
  await assert.rejects(readDebianArchives(scratch.path), (error: unknown) => {
    assert.ok(error instanceof ImageError);
    assert.equal(error.code, 'image_build_failed');
    assert.match(error.message, /no Debian bookworm archive .* add one for "bookworm main"/);
    return true;
  });
});
