import assert from 'node:assert/strict';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { hasCode, importMarked, makeScratch, type Scratch } from '../_stored-images.ts';
import type { GuestImage } from '../manifest.ts';
import { removeImage } from '../promotion/remove-image.ts';
import { DEBIAN_FILES, SECURITY_TRACKER } from './_security-tracker.ts';
import { judgeImage } from './gate.ts';
import { readReportSummary, reportImage, securityDataPath, type ImageReport } from './report.ts';

async function importDebian(
  scratch: Scratch,
  files = DEBIAN_FILES,
  mark = 'debian',
): Promise<GuestImage> {
  for (const [path, content] of Object.entries(files)) {
    const target = join(scratch.path, `tree-${mark}`, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
  }
  return await importMarked(scratch, mark);
}

async function writeData(scratch: Scratch, value: unknown = SECURITY_TRACKER): Promise<string> {
  const path = join(scratch.path, 'data.json');
  await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value));
  return path;
}

const told = ({ findings }: ImageReport): string[] | undefined =>
  findings?.map(
    (one) => `${one.severity} ${one.id} ${one.source} ${one.fixedVersion} (${one.rating})`,
  );

suite('the report of an image', () => {
  test('has every package with its source, and each weakness that is open in what is installed', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importDebian(scratch);
    const report = await reportImage({ cacheDir, image, dataPath: await writeData(scratch) });
    assert.equal(report.system, 'debian bookworm');
    assert.deepEqual(
      report.debian?.map((one) => `${one.name} ${one.source} ${one.sourceVersion}`),
      ['bash bash 1.5-1', 'libc6 glibc 1.5-1', 'libssl3 openssl 1.5-1', 'openssl openssl 1.5-1'],
    );
    assert.deepEqual(report.npm, [
      { name: 'npm', version: '11.0.0', path: '/usr/local/lib/node_modules/npm' },
      { name: '@a/b', version: '2.0.0', path: '/usr/local/lib/node_modules/npm/node_modules/@a/b' },
    ]);
    assert.deepEqual(told(report), [
      'high CVE-2099-0001 openssl 1.6-1 (high)',
      'high CVE-2099-0004 openssl 1.6-1 (not yet assigned)',
      'medium CVE-2099-0012 glibc null (not yet assigned)',
      'medium TEMP-0000001-ABCDEF glibc null (undetermined, not yet assigned)',
      'low CVE-2099-0005 openssl 1.6-1 (no DSA: Minor issue)',
      'low CVE-2099-0006 openssl 1.6-1 (no DSA: Minor issue, postponed)',
      'low CVE-2099-0007 openssl 1.6-1 (no DSA: ignored)',
      'low CVE-2099-0008 openssl 1.6-1 (no DSA)',
      'low CVE-2099-0011 glibc null (no DSA: Minor issue)',
      'low CVE-2099-0013 glibc null (low)',
      'negligible CVE-2099-0009 openssl 1.6-1 (unimportant)',
      'negligible CVE-2099-0010 glibc null (unimportant)',
    ]);
    assert.deepEqual(report.counts, { negligible: 2, low: 6, medium: 2, high: 2 });
    assert.match(
      report.notKnown.join('\n'),
      /kernel unknown: the version of its package is not stored/,
    );
    assert.match(report.notKnown.join('\n'), /its 2 npm packages and of Node unknown/);
    assert.deepEqual((await readReportSummary(cacheDir, image.digest))?.counts, report.counts);
    const kernel = { ...image, kernelPackage: 'linux-image-6.1.0-1-cloud-amd64 6.1.1-1' };
    const withKernel = await reportImage({
      cacheDir,
      image: kernel,
      dataPath: await writeData(scratch),
    });
    assert.ok(told(withKernel)?.includes('high CVE-2099-0020 linux null (end-of-life)'));
    await removeImage(cacheDir, image.digest);
    assert.equal(
      await readReportSummary(cacheDir, image.digest),
      undefined,
      'it goes with its image',
    );
  });

  test('says what is not known, and never calls it none', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importDebian(scratch);
    const without = await reportImage({ cacheDir, image });
    assert.equal(without.findings, null);
    assert.match(without.notKnown[0] ?? '', /there is no security data; put https/);
    assert.equal((await readReportSummary(cacheDir, image.digest))?.counts, null);
    const onlySid = {
      bash: { 'CVE-1': { releases: { sid: { status: 'open', urgency: 'low' } } } },
    };
    const dataPath = await writeData(scratch, onlySid);
    const otherRelease = await reportImage({ cacheDir, image, dataPath });
    assert.match(otherRelease.notKnown[0] ?? '', /does not know bookworm/);
    assert.equal(otherRelease.counts, null);
    const bare = await importMarked(scratch, 'bare');
    const nothing = await reportImage({
      cacheDir,
      image: bare,
      dataPath: await writeData(scratch),
    });
    assert.deepEqual([nothing.debian, nothing.findings], [null, null]);
    assert.match(nothing.notKnown[0] ?? '', /no list of Debian packages/);
  });

  test('an empty list of packages is not known, whatever the data says', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const removed = 'Package: bash\nStatus: deinstall ok config-files\nVersion: 1.5-1\n';
    for (const [mark, status] of [
      ['empty', ''],
      ['removed', removed],
    ] as const) {
      const files = { ...DEBIAN_FILES, 'var/lib/dpkg/status': status };
      const image = await importDebian(scratch, files, mark);
      const report = await reportImage({ cacheDir, image, dataPath: await writeData(scratch) });
      assert.deepEqual([report.debian, report.findings, report.counts], [null, null, null]);
      assert.match(report.notKnown[0] ?? '', /names none that is installed/);
      const judge = (): unknown => judgeImage(report, { maxSeverity: 'high' });
      assert.throws(judge, hasCode('image_refused', /its weaknesses are not known/));
    }
  });

  test('a fix of Debian that an image lacks refuses it, though nobody rated the weakness', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importDebian(scratch);
    const judge = async (id: 'CVE-2099-0004' | 'CVE-2099-0005'): Promise<unknown> => {
      const data = { openssl: { [id]: SECURITY_TRACKER.openssl[id] } };
      const dataPath = await writeData(scratch, data);
      return judgeImage(await reportImage({ cacheDir, image, dataPath }), { maxSeverity: 'high' });
    };
    await assert.rejects(
      judge('CVE-2099-0004'),
      hasCode('image_refused', /high CVE-2099-0004 openssl 1\.5-1, fixed in 1\.6-1\n1 are fixed/),
    );
    await judge('CVE-2099-0005');
  });

  test('takes the data of the cache directory where no other is named, and says when it is old', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importDebian(scratch);
    await writeFile(securityDataPath(cacheDir), JSON.stringify(SECURITY_TRACKER));
    const old = new Date(Date.now() - 40 * 24 * 60 * 60 * 1000);
    await utimes(securityDataPath(cacheDir), old, old);
    const report = await reportImage({ cacheDir, image });
    assert.equal(report.counts?.['high'], 2);
    assert.match(report.notKnown.at(-1) ?? '', /of the last (39|40) days/);
  });

  test('an image of another system is not judged by Debian’s data', async () => {
    await using scratch = await makeScratch();
    const files = { ...DEBIAN_FILES, 'etc/os-release': 'ID=ubuntu\nVERSION_CODENAME=bookworm\n' };
    const image = await importDebian(scratch, files);
    const { cacheDir } = scratch;
    const report = await reportImage({ cacheDir, image, dataPath: await writeData(scratch) });
    assert.equal(report.findings, null);
    assert.match(report.notKnown[0] ?? '', /it is ubuntu/);
  });

  test('a file that is not the data is refused, and hostile values of it are passed over', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importDebian(scratch);
    for (const [text, what] of [
      ['{', /it is no JSON/],
      ['[]', /it has no packages/],
      ['{"a":{"b":1}}', /no weakness with releases/],
    ] as const) {
      const dataPath = await writeData(scratch, text);
      await assert.rejects(
        reportImage({ cacheDir, image, dataPath }),
        hasCode('image_refused', what),
      );
    }
    const absent = reportImage({ cacheDir, image, dataPath: join(scratch.path, 'absent') });
    await assert.rejects(absent, hasCode('image_not_found', /cannot be read/));
    const state = { status: 'open', urgency: 7, fixed_version: [], nodsa: {} };
    const hostile = {
      glibc: { 'CVE-1': { releases: { bookworm: state } }, x: null, y: [] },
      bash: null,
    };
    const dataPath = await writeData(scratch, hostile);
    assert.deepEqual(told(await reportImage({ cacheDir, image, dataPath })), [
      'medium CVE-1 glibc null (not yet assigned)',
    ]);
  });
});

suite('the gate', () => {
  const report: ImageReport = {
    digest: 'd'.repeat(64),
    name: 'debian',
    madeAt: '',
    system: 'debian bookworm',
    data: null,
    kernel: '6.1',
    debian: [],
    npm: [],
    findings: ['high', 'medium', 'low'].map((severity, at) => ({
      id: `CVE-${at}`,
      source: 'glibc',
      installedVersion: '1',
      fixedVersion: at === 0 ? '2' : null,
      severity: severity as 'high',
      rating: severity,
    })),
    counts: { high: 1, medium: 1, low: 1, negligible: 0 },
    notKnown: [],
  };

  test('refuses findings of a severity or above, with the list and what to do', () => {
    const refused = (maxSeverity: 'high' | 'medium', what: RegExp): void =>
      assert.throws(() => judgeImage(report, { maxSeverity }), hasCode('image_refused', what));
    refused(
      'high',
      /1 known weaknesses of severity high[^]*high CVE-0 glibc 1, fixed in 2[^]*1 are fixed in Debian: onejob image build --force[^]*--force "<reason>"/,
    );
    refused('medium', /2 known[^]*CVE-1 glibc 1, no fix[^]*1 are not fixed in Debian yet/);
    const mild = { ...report, findings: report.findings?.slice(1) ?? null };
    assert.deepEqual(judgeImage(mild, { maxSeverity: 'high' }), {
      digest: report.digest,
      findings: report.counts,
      maxSeverity: 'high',
      forced: null,
    });
    assert.equal(judgeImage(report, { maxSeverity: 'none' }).maxSeverity, null);
  });

  test('refuses what is not known; a reason overrules and is kept, an empty one is none', () => {
    const unknown = { ...report, findings: null, counts: null, notKnown: ['There is no data.'] };
    assert.throws(
      () => judgeImage(unknown, { maxSeverity: 'high' }),
      hasCode('image_refused', /are not known\.\nThere is no data/),
    );
    const forced = judgeImage(unknown, { maxSeverity: 'high', force: ' we need it ' });
    assert.deepEqual([forced.forced, forced.findings], ['we need it', null]);
    for (const force of ['', '  ', 'x'.repeat(501)]) {
      const attempt = (): unknown => judgeImage(report, { maxSeverity: 'high', force });
      assert.throws(attempt, hasCode('image_refused', /a reason has 1 to 500 characters/));
    }
  });

  test('refuses to judge by data older than 14 days, unless somebody says why or wants no gate', () => {
    const clean = { ...report, findings: [], madeAt: '2099-03-15T00:00:00.000Z' };
    const withData = (changedAt: string): ImageReport => ({
      ...clean,
      data: { path: '/x/data.json', changedAt },
    });
    assert.equal(
      judgeImage(withData('2099-03-01T00:00:00.000Z'), { maxSeverity: 'high' }).forced,
      null,
    );
    const old = withData('2099-02-28T23:59:59.999Z');
    const refused = (one: ImageReport, what: RegExp): void =>
      assert.throws(() => judgeImage(one, { maxSeverity: 'high' }), hasCode('image_refused', what));
    refused(
      old,
      /the security data is too old to judge it by\.\n\/x\/data\.json is of 2099-02-28, more than 14 days ago: fetch https[^]*--force "<reason>"/,
    );
    const bad = { ...old, findings: report.findings };
    refused(bad, /1 known weaknesses of severity high or above; the security data is too old/);
    refused(bad, /CVE-0 glibc[^]*more than 14 days ago/);
    assert.equal(
      judgeImage(old, { maxSeverity: 'high', force: 'no network' }).forced,
      'no network',
    );
    assert.equal(judgeImage(old, { maxSeverity: 'none' }).maxSeverity, null);
  });
});
