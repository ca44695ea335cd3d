import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { hasCode, importMarked, makeScratch } from '../_stored-images.ts';
import { USE_MARK_MS } from '../limits.ts';
import { listImages } from '../store.ts';
import { markImageUse } from './image-use.ts';
import {
  findPromotedImage,
  promotedLabels,
  promoteImage,
  rollbackImage,
  rolesOf,
} from './promote.ts';
import { PROMOTIONS_FILE, readPromotions } from './promotions-file.ts';
import { removeImage } from './remove-image.ts';

const PROMOTE_ONCE = join(import.meta.dirname, '../../tests/_promote-once.ts');

suite('promoting and going back', () => {
  test('new jobs get what was promoted last, a rollback gives what was before, and again', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const [one, two] = [await importMarked(scratch, 'one'), await importMarked(scratch, 'two')];
    const current = async (): Promise<string | undefined> =>
      (await findPromotedImage(cacheDir, ['ubuntu-latest']))?.name;
    assert.equal(await current(), undefined);
    const none = hasCode('image_not_found', /nothing was promoted for new jobs/);
    await assert.rejects(rollbackImage({ cacheDir }), none);
    await promoteImage({ cacheDir, reference: 'one' });
    assert.equal(await current(), 'one');
    const promotion = await promoteImage({ cacheDir, reference: two.digest.slice(0, 12) });
    assert.deepEqual([promotion?.digest, promotion?.previous], [two.digest, one.digest]);
    assert.equal(await current(), 'two');
    assert.equal(await promoteImage({ cacheDir, reference: 'two' }), undefined, 'it is already');
    assert.deepEqual(
      rolesOf(await readPromotions(cacheDir)),
      new Map([
        [two.digest, ['current']],
        [one.digest, ['previous']],
      ]),
    );
    await rollbackImage({ cacheDir });
    assert.equal(await current(), 'one');
    assert.equal((await rollbackImage({ cacheDir })).digest, null);
    assert.equal(await current(), undefined);
    const { history } = await readPromotions(cacheDir);
    assert.deepEqual(
      history.map(({ action, name }) => `${action} ${name}`),
      ['promote one', 'promote two', 'rollback one', 'rollback null'],
    );
    assert.ok(history.every(({ by, at }) => by !== '' && Date.parse(at) <= Date.now()));
  });

  test('a label has images of its own; other jobs keep theirs', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    for (const mark of ['all', 'gpu']) await importMarked(scratch, mark);
    await promoteImage({ cacheDir, reference: 'all' });
    await promoteImage({ cacheDir, reference: 'gpu', label: 'GPU' });
    const nameFor = async (...labels: string[]): Promise<string | undefined> =>
      (await findPromotedImage(cacheDir, labels))?.name;
    assert.equal(await nameFor('linux'), 'all');
    assert.equal(await nameFor('linux', 'Gpu'), 'gpu');
    assert.deepEqual(await promotedLabels(cacheDir), ['gpu']);
    await rollbackImage({ cacheDir, label: 'gpu' });
    assert.equal(await nameFor('gpu'), 'all');
    assert.deepEqual(await promotedLabels(cacheDir), []);
    for (const label of ['', 'a b', '../x', 'x'.repeat(65)]) {
      const attempt = promoteImage({ cacheDir, reference: 'gpu', label });
      await assert.rejects(attempt, hasCode('image_refused', /no label/));
    }
  });

  test('going back leaves out images that were removed meanwhile', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    for (const mark of ['a', 'b', 'c']) {
      await importMarked(scratch, `is-${mark}`);
      await promoteImage({ cacheDir, reference: `is-${mark}` });
    }
    await removeImage(cacheDir, 'is-b');
    assert.equal((await rollbackImage({ cacheDir })).name, 'is-a');
  });
});

suite('removing', () => {
  test('what new jobs get is not removed, whatever it is called by; what they got before is', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const [one, two] = [await importMarked(scratch, 'one'), await importMarked(scratch, 'two')];
    await promoteImage({ cacheDir, reference: 'one' });
    await promoteImage({ cacheDir, reference: 'two', label: 'gpu' });
    const refused = hasCode('image_in_use', /is current.*new jobs get it; promote another/);
    await assert.rejects(removeImage(cacheDir, 'one'), refused);
    await assert.rejects(removeImage(cacheDir, two.digest.slice(0, 8)), refused);
    assert.equal((await listImages(cacheDir)).images.length, 2);
    await rollbackImage({ cacheDir });
    assert.equal(await removeImage(cacheDir, 'one'), one.digest);
  });

  test('an image whose root disk somebody has open is not removed, by whatever path', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importMarked(scratch, 'one');
    const disk = await open(image.rootPath);
    await assert.rejects(
      removeImage(cacheDir, 'one'),
      hasCode(
        'image_in_use',
        new RegExp(`used by process ${process.pid} \\(.+\\); remove it when`),
      ),
    );
    await disk.close();
    await removeImage(cacheDir, 'one');
  });

  test('an image that a living process looked up a moment ago is not removed', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importMarked(scratch, 'one');
    await markImageUse(cacheDir, image.digest);
    const marks = join(cacheDir, 'uses');
    const [mark = ''] = await readdir(marks);
    const refused = hasCode('image_in_use', /used by process/);
    await assert.rejects(removeImage(cacheDir, 'one'), refused);
    const old = new Date(Date.now() - 2 * USE_MARK_MS);
    const ofOthers = [`${image.digest}.4194305`, `${image.digest}.1`];
    for (const name of ofOthers) await writeFile(join(marks, name), 'not its start time\n');
    await utimes(join(marks, mark), old, old);
    await removeImage(cacheDir, 'one');
    assert.deepEqual(await readdir(marks), [], 'marks of dead and slow processes go');
  });
});

suite('the file of promotions', () => {
  test('processes that promote at once lose no change, and a killed one leaves it whole', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    for (const mark of ['a', 'b', 'c', 'd']) await importMarked(scratch, `is-${mark}`);
    const start = (...references: string[]) =>
      spawn(process.execPath, [PROMOTE_ONCE, cacheDir, ...references], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    const many = Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 'is-a' : 'is-b'));
    const killed = start(...many);
    const [first] = (await once(killed.stdout, 'data')) as [Buffer];
    assert.match(first.toString(), /^is-a/);
    killed.kill('SIGKILL');
    await once(killed, 'close');
    const before = (await readPromotions(cacheDir)).history.length;
    const both = [start('is-c'), start('is-d')];
    const codes = await Promise.all(
      both.map(async (one) => ((await once(one, 'close')) as [number])[0]),
    );
    assert.deepEqual(codes, [0, 0]);
    const { history, channels } = await readPromotions(cacheDir);
    assert.equal(history.length, before + 2);
    assert.equal(history.at(-1)?.previous, history.at(-2)?.digest);
    assert.deepEqual(channels.get('')?.slice(-1), [history.at(-1)?.digest]);
    const drafts = (await readdir(cacheDir)).filter((name) =>
      name.startsWith(`${PROMOTIONS_FILE}.`),
    );
    assert.deepEqual(drafts, [], 'the draft of a killed process goes');
  });

  test('is refused with what to do when it is damaged, of another format, or anybody’s to write', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    await mkdir(cacheDir);
    const path = join(cacheDir, PROMOTIONS_FILE);
    const contents: [string, RegExp][] = [
      ['{', /it is no JSON/],
      ['null', /has format undefined/],
      ['{"formatVersion":2}', /has format 2, and this onejob knows 1/],
      ['{"formatVersion":1,"channels":{"":["../x"]},"history":[]}', /no lists of digests/],
      ['{"formatVersion":1,"channels":{},"history":[{"at":1}]}', /its history is none/],
    ];
    for (const [content, what] of contents) {
      await writeFile(path, content);
      await assert.rejects(readPromotions(cacheDir), hasCode('image_corrupt', what));
    }
    await writeFile(path, '{"formatVersion":1,"channels":{},"history":[]}');
    await readPromotions(cacheDir);
    await chmod(path, 0o666);
    await assert.rejects(
      readPromotions(cacheDir),
      hasCode('image_corrupt', /others than the owner/),
    );
  });

  test('belongs to the owner of the directory, also when root promotes', async (t) => {
    if (process.getuid?.() !== 0)
      return t.skip('only root can promote in a directory of somebody else');
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    await importMarked(scratch, 'one');
    await chown(cacheDir, 65_534, 65_534);
    await promoteImage({ cacheDir, reference: 'one' });
    const path = join(cacheDir, PROMOTIONS_FILE);
    assert.equal((await stat(path)).uid, 65_534);
    assert.match(await readFile(path, 'utf8'), /"by": "root"/);
    await chown(path, 1234, 1234);
    await assert.rejects(
      readPromotions(cacheDir),
      hasCode('image_corrupt', /others than the owner/),
    );
  });
});
