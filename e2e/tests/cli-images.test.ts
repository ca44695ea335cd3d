/** Images of a cache directory of their own, by the command line. None of them is booted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

/** Imports an image that looks like one; answers its place. */
async function importOne(line: CommandLine, name: string, files: Record<string, string> = {}) {
  const place = { environment: { ONEJOB_CACHE_DIR: `${line.data}-cache` } };
  const tree = `${line.data}-tree-${name}`;
  for (const [path, content] of Object.entries({ ...files, mark: name })) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
  }
  const from = `${line.data}-files-${name}`;
  mkdirSync(from);
  writeFileSync(join(from, 'vmlinux'), '\x7fELF', 'latin1');
  writeFileSync(join(from, 'initrd.cpio.gz'), gzipSync(''));
  const pack = ['-d0', '-T0', join(from, 'root.erofs'), tree];
  execFileSync('mkfs.erofs', pack, { stdio: ['ignore', 'ignore', 'pipe'] });
  const imported = await line.run(['image', 'import', from, '--name', name], place);
  assert.equal(imported.code, 0, imported.stderr);
  return place;
}

test('images are promoted and rolled back, the list tells which is what, and the current one stays', async () => {
  await using line = new CommandLine();
  const place = await importOne(line, 'one');
  await importOne(line, 'two');
  const noGate = ['--max-severity', 'none'];
  const first = await line.run(['image', 'promote', 'one', ...noGate], place);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^New jobs get one [0-9a-f]{12}\. Those that run keep theirs\.$/m);
  const labelled = await line.run(['image', 'promote', 'one', '--label', 'gpu', ...noGate], place);
  assert.match(labelled.stdout, /^New jobs with the label gpu get one /);
  const second = await line.run(['image', 'promote', 'two', ...noGate], place);
  assert.match(second.stdout, /^New jobs get two [0-9a-f]{12}; before: [0-9a-f]{12}\./);
  const again = await line.run(['image', 'promote', 'two', ...noGate], place);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stdout, /^New jobs get it already\.\nFindings: not known\nNot known: /);
  const { stdout } = await line.run(['image', 'list'], place);
  assert.match(stdout, /^[0-9a-f]{12} +two +current +/m);
  assert.match(stdout, /^[0-9a-f]{12} +one +previous, current for gpu +/m);
  assert.match(stdout, /^20\S+ \S+ +promote +gpu +[0-9a-f]{12} one +by \S+/m);
  const refused = await line.run(['image', 'remove', 'two'], place);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /two is current: new jobs get it/);
  const back = await line.run(['image', 'rollback'], place);
  assert.match(back.stdout, /^New jobs get one /);
  await line.run(['image', 'rollback', '--label', 'gpu'], place);
  const end = await line.run(['image', 'rollback'], place);
  assert.match(end.stdout, /^New jobs get the image that onejob builds; before: /);
  const nothing = await line.run(['image', 'rollback'], place);
  assert.equal(nothing.code, 3);
  assert.match(nothing.stderr, /nothing was promoted/);
  const json = JSON.parse((await line.run(['image', 'list', '--json'], place)).stdout) as {
    name: string;
    roles: string[];
    history: { action: string }[];
  }[];
  const one = json.find(({ name }) => name === 'one');
  assert.deepEqual(one?.roles, []);
  assert.deepEqual(
    one?.history.map(({ action }) => action),
    ['promote', 'promote', 'rollback'],
  );
  assert.equal((await line.run(['image', 'remove', 'two'], place)).code, 0);
});

test('an image with known weaknesses is not promoted without a reason, which the list keeps', async () => {
  await using line = new CommandLine();
  const status =
    'Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n';
  const place = await importOne(line, 'weak', {
    'etc/os-release': 'ID=debian\nVERSION_CODENAME=bookworm\n',
    'var/lib/dpkg/status': status,
  });
  const state = {
    status: 'resolved',
    urgency: 'high',
    fixed_version: '5.2.15-3',
    repositories: {},
  };
  const tracker = { bash: { 'CVE-2099-1': { description: '', releases: { bookworm: state } } } };
  const data = line.write('tracker.json', JSON.stringify(tracker));
  const unknown = await line.run(['image', 'promote', 'weak'], place);
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /its weaknesses are not known\.\n.*there is no security data/);
  assert.match(
    (await line.run(['image', 'report', 'weak'], place)).stdout,
    /^Findings: not known$/m,
  );
  const report = await line.run(['image', 'report', 'weak', '--data', data, '--packages'], place);
  assert.match(report.stdout, /^Findings: high 1, medium 0, low 0, negligible 0$/m);
  assert.match(report.stdout, /^high +CVE-2099-1 +bash +5\.2\.15-2 +5\.2\.15-3 +high$/m);
  assert.match(report.stdout, /^debian +bash +5\.2\.15-2 +of bash$/m);
  const json = await line.run(['image', 'report', 'weak', '--data', data, '--json'], place);
  assert.equal((JSON.parse(json.stdout) as { findings: unknown[] }).findings.length, 1);
  const refused = await line.run(['image', 'promote', 'weak', '--data', data], place);
  assert.equal(refused.code, 3);
  assert.match(
    refused.stderr,
    /CVE-2099-1 bash.*fixed in 5\.2\.15-3[^]*onejob image build --force/,
  );
  const wrong = await line.run(['image', 'promote', 'weak', '--max-severity', 'awful'], place);
  assert.equal(wrong.code, 2);
  const why = 'the mirror is down';
  const forced = await line.run(
    ['image', 'promote', 'weak', '--data', data, '--force', why],
    place,
  );
  assert.equal(forced.code, 0, forced.stderr);
  assert.match(forced.stdout, /^Findings: high 1, /m);
  const list = await line.run(['image', 'list'], place);
  assert.match(list.stdout, /^[0-9a-f]{12} +weak +current .* high 1, medium 0/m);
  assert.match(list.stdout, /promote .* findings high 1, .* forced: the mirror is down$/m);
});

test('what is promoted comes with what is not known and how old the data is, and old data refuses it', async () => {
  await using line = new CommandLine();
  const place = await importOne(line, 'plain', {
    'etc/os-release': 'ID=debian\nVERSION_CODENAME=bookworm\n',
    'var/lib/dpkg/status':
      'Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n',
  });
  const weaknessesFixedIn = (version: string): string => {
    const state = { status: 'resolved', urgency: 'not yet assigned', fixed_version: version };
    const releases = { bookworm: { ...state, repositories: { bookworm: '5.2.15-2' } } };
    const ids = Array.from({ length: 9 }, (_, index) => `CVE-2099-${index}`);
    const issues = ids.map((id) => [id, { description: '', scope: 'local', releases }]);
    return JSON.stringify({ bash: Object.fromEntries(issues) });
  };
  const data = line.write('tracker.json', weaknessesFixedIn('5.2.15-2'));
  const promote = ['image', 'promote', 'plain', '--data', data];
  const fresh = await line.run(promote, place);
  assert.equal(fresh.code, 0, fresh.stderr);
  const [, ...known] = fresh.stdout.split('\n');
  const report = await line.run(['image', 'report', 'plain', '--data', data], place);
  assert.deepEqual(known, report.stdout.split('\n').slice(2), 'the same as the report says');
  assert.match(known.join('\n'), /^Findings: none known\nSecurity data: .* of 20\S+\nNot known: /);
  writeFileSync(data, weaknessesFixedIn('5.2.15-3'));
  const old = new Date(Date.now() - 365 * 24 * 60 * 60 * 1000);
  utimesSync(data, old, old);
  const refused = await line.run(promote, place);
  assert.equal(refused.code, 3);
  assert.match(
    refused.stderr,
    /has 9 known[^]*CVE-2099-0 bash[^]*and 2 more[^]*more than 14 days ago[^]*--force "<reason>"/,
    'all of it is on the screen',
  );
  const forced = await line.run([...promote, '--force', 'no network'], place);
  assert.equal(forced.code, 0, forced.stderr);
  assert.match(forced.stdout, /^Not known: Weaknesses of the last 36[45] days: that old is /m);
});

test('a label with an image of its own is one that the host offers, from its next start on', async () => {
  await using line = new CommandLine();
  const place = await importOne(line, 'one');
  await using checkout = makeCheckout({
    '.github/workflows/w.yml':
      'on: push\njobs: { a: { runs-on: gpu, steps: [{ run: echo ran on $((6 * 7)) }] } }\n',
  });
  const here = { ...place, directory: checkout.directory };
  const refused = await line.run(['run', '--driver', 'process'], here);
  assert.equal(refused.code, 1, refused.stdout);
  await line.run(['image', 'promote', 'one', '--label', 'gpu', '--max-severity', 'none'], place);
  const ran = await line.run(['run', '--driver', 'process'], here);
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /ran on 42/);
});
