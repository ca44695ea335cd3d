import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import {
  hasCode,
  importMarked,
  makeImageFiles,
  makeScratch,
  type Scratch,
} from './_stored-images.ts';
import { importImage } from './import-image.ts';
import { MANIFEST_FILE, newManifest, type GuestImage, type ImageManifest } from './manifest.ts';
import { BUILT_IMAGES_KEPT } from './limits.ts';
import { pruneBuiltImages, removeImage } from './promotion/remove-image.ts';
import { findByRecipe, findImage, listImages, publishImage, verifyImage } from './store.ts';

suite('importing', () => {
  test('takes a directory, a tar, a packed tar and a tar with a directory around it', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const from = await makeImageFiles(scratch.path, 'one');
    const direct = await importImage({ cacheDir, from, name: 'direct' });
    const tars: [string, string[]][] = [
      ['flat.tar', ['-C', from, '.']],
      ['packed.tar.gz', ['-z', '-C', from, '.']],
      ['nested.tar', ['-C', scratch.path, 'files-one']],
    ];
    for (const [name, files] of tars) {
      const tar = join(scratch.path, name);
      execFileSync('tar', ['-cf', tar, ...files]);
      const image = await importImage({ cacheDir, from: tar, name });
      assert.equal(image.digest, direct.digest, `${name}: same files, same digest`);
      assert.equal(image.name, name, 'a second import of the same files renames the image');
    }
    const found = await verifyImage(cacheDir, 'nested.tar');
    assert.equal((await readFile(found.kernelPath, 'latin1')).slice(0, 4), '\x7fELF');
    assert.equal(found.origin, 'imported');
    assert.equal(found.buildTimeMs, 0);
    assert.ok(found.sizeBytes > 4096);
    assert.deepEqual(await readdir(join(cacheDir, 'scratch')), []);
  });

  test('keeps what the manifest of the other store says about the contents', async () => {
    await using scratch = await makeScratch();
    const built = await buildMarked(scratch, 'built');
    const from = join(scratch.cacheDir, 'images', built.digest);
    const image = await importImage({ cacheDir: join(scratch.path, 'other'), from, name: 'copy' });
    assert.deepEqual(image.packages, ['bash 5.2']);
    assert.equal(image.nodeVersion, '24.0.0');
    assert.equal(image.kernelVersion, '6.1.0');
    await writeFile(join(from, 'vmlinux'), '\x7fELF other', 'latin1');
    await assert.rejects(
      importImage({ cacheDir: scratch.cacheDir, from, name: 'changed' }),
      hasCode('image_corrupt', /vmlinux differs from what its manifest says/),
    );
  });

  test('refuses what is no image, says what was expected, and leaves nothing', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const cases: [string, string, string | undefined, RegExp][] = [
      ['a', 'vmlinux', undefined, /it has no file vmlinux; expected are vmlinux, initrd/],
      ['b', 'vmlinux', 'MZ a packed kernel', /vmlinux is not an ELF kernel/],
      ['c', 'initrd.cpio.gz', 'text', /initrd\.cpio\.gz is not a cpio archive/],
      ['d', 'root.erofs', 'x'.repeat(9999), /root\.erofs is not an erofs file system/],
      ['e', 'root.erofs', '', /root\.erofs is not an erofs file system/],
    ];
    for (const [mark, file, content, pattern] of cases) {
      const from = await makeImageFiles(scratch.path, mark);
      await rm(join(from, file));
      if (content !== undefined) await writeFile(join(from, file), content);
      const attempt = importImage({ cacheDir, from, name: 'x' });
      await assert.rejects(attempt, hasCode('image_corrupt', pattern));
    }
    const text = join(scratch.path, 'text');
    await writeFile(text, 'this is no archive');
    const cut = join(scratch.path, 'cut.tar');
    execFileSync('tar', ['-cf', cut, '-C', await makeImageFiles(scratch.path, 'cut'), '.']);
    await truncate(cut, 3000);
    for (const archive of [text, cut]) {
      await assert.rejects(
        importImage({ cacheDir, from: archive, name: 'x' }),
        hasCode('image_corrupt', /tar cannot unpack it/),
      );
    }
    await assert.rejects(
      importImage({ cacheDir, from: join(scratch.path, 'absent'), name: 'x' }),
      hasCode('image_not_found', /nothing to import at/),
    );
    assert.deepEqual(await listImages(cacheDir), { images: [], broken: [] });
    assert.deepEqual(await readdir(join(cacheDir, 'scratch')), []);
  });

  test('refuses a name that could be a path or be taken for a digest', async () => {
    await using scratch = await makeScratch();
    const from = await makeImageFiles(scratch.path, 'one');
    for (const name of ['', '../x', 'a b', 'deadbeef', '.hidden', 'x'.repeat(65)]) {
      const attempt = importImage({ cacheDir: scratch.cacheDir, from, name });
      await assert.rejects(attempt, hasCode('image_corrupt', /cannot be called/));
    }
  });
});

suite('finding and removing', () => {
  test('by digest, unique beginning and name; anything else is answered with what there is', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const one = await importMarked(scratch, 'one', 'same');
    const two = await importMarked(scratch, 'two', 'same');
    const three = await importMarked(scratch, 'three');
    const { images } = await listImages(cacheDir);
    assert.deepEqual(
      images.map(({ digest }) => digest).toSorted(),
      [one, two, three].map(({ digest }) => digest).toSorted(),
    );
    for (const reference of [
      three.digest,
      three.digest.slice(0, 12),
      `sha256:${three.digest}`,
      'three',
    ]) {
      assert.equal((await findImage(cacheDir, reference)).digest, three.digest);
    }
    await assert.rejects(
      findImage(cacheDir, 'same'),
      hasCode('image_not_found', /"same" means 2 guest images/),
    );
    await assert.rejects(
      findImage(cacheDir, 'ffffffffff'),
      hasCode('image_not_found', /it holds .*three/),
    );
    await assert.rejects(
      findImage(cacheDir, '../images'),
      hasCode('image_not_found', /there is no guest image/),
    );

    assert.equal(await removeImage(cacheDir, one.digest.slice(0, 20)), one.digest);
    assert.equal((await findImage(cacheDir, 'same')).digest, two.digest);
    await assert.rejects(removeImage(cacheDir, one.digest), hasCode('image_not_found', /./));
    await removeImage(cacheDir, 'same');
    await removeImage(cacheDir, 'three');
    assert.deepEqual(await listImages(cacheDir), { images: [], broken: [] });
    assert.deepEqual(await readdir(join(cacheDir, 'images')), []);
    await assert.rejects(findImage(cacheDir, 'three'), hasCode('image_not_found', /it holds none/));
  });

  test('an image whose files are being read stays readable after its removal', async () => {
    await using scratch = await makeScratch();
    const image = await importMarked(scratch, 'one');
    await using file = await open(image.kernelPath);
    await removeImage(scratch.cacheDir, 'one');
    assert.equal((await file.readFile('latin1')).slice(0, 4), '\x7fELF');
  });
});

suite('a damaged image', () => {
  test('is refused at loading when a file is missing, short or undescribed, and can be removed', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    const image = await importMarked(scratch, 'one');
    const manifestPath = join(cacheDir, 'images', image.digest, MANIFEST_FILE);
    const manifest = await readFile(manifestPath, 'utf8');
    const parsed = JSON.parse(manifest) as ImageManifest;
    const manifests: [string, RegExp][] = [
      ['', /manifest\.json cannot be read/],
      ['[]', /has format undefined/],
      [JSON.stringify({ ...parsed, formatVersion: 99 }), /has format 99, and this onejob knows 1/],
      [JSON.stringify({ ...parsed, files: {} }), /does not describe vmlinux/],
      [JSON.stringify({ ...parsed, digest: '../..' }), /a digest that is not sha256/],
    ];
    for (const [text, pattern] of manifests) {
      await writeFile(manifestPath, text);
      await assert.rejects(findImage(cacheDir, image.digest), hasCode('image_corrupt', pattern));
    }
    await writeFile(manifestPath, manifest);
    await truncate(image.rootPath, 100);
    await assert.rejects(
      findImage(cacheDir, image.digest),
      hasCode('image_corrupt', /root\.erofs has 100 bytes instead of \d+; remove it with/),
    );
    await rm(image.rootPath);
    await assert.rejects(findImage(cacheDir, image.digest), hasCode('image_corrupt', /is missing/));
    const { images, broken } = await listImages(cacheDir);
    assert.deepEqual(images, []);
    assert.deepEqual(
      broken.map(({ digest }) => digest),
      [image.digest],
    );
    await removeImage(cacheDir, image.digest.slice(0, 8));
    assert.deepEqual((await listImages(cacheDir)).broken, []);
  });

  test('with one changed byte passes loading and fails verification', async () => {
    await using scratch = await makeScratch();
    const image = await importMarked(scratch, 'one');
    await verifyImage(scratch.cacheDir, 'one');
    await using file = await open(image.rootPath, 'r+');
    await file.write(Buffer.from([0xff]), 0, 1, image.sizeBytes > 2000 ? 1500 : 0);
    await findImage(scratch.cacheDir, 'one');
    await assert.rejects(
      verifyImage(scratch.cacheDir, 'one'),
      hasCode('image_corrupt', /root\.erofs is not the file that was stored/),
    );
  });
});

/** Publishes files as if the recipe had built them. */
async function buildMarked(
  scratch: Scratch,
  mark: string,
  createdAt = new Date().toISOString(),
): Promise<GuestImage> {
  const files = await makeImageFiles(scratch.path, mark);
  const imported = await importImage({ cacheDir: scratch.cacheDir, from: files, name: 'tmp' });
  const path = join(scratch.cacheDir, 'images', imported.digest, MANIFEST_FILE);
  const manifest = JSON.parse(await readFile(path, 'utf8')) as ImageManifest;
  await removeImage(scratch.cacheDir, imported.digest);
  const built = newManifest({
    ...manifest,
    name: 'debian',
    origin: 'built',
    recipeKey: `recipe of ${mark}`,
    createdAt,
    packages: ['bash 5.2'],
    nodeVersion: '24.0.0',
    kernelVersion: '6.1.0',
  });
  return publishImage(scratch.cacheDir, files, built);
}

suite('built images', () => {
  test('are found by their recipe, and the oldest beyond a few go; imported ones stay', async () => {
    await using scratch = await makeScratch();
    const { cacheDir } = scratch;
    await importMarked(scratch, 'mine');
    const marks = ['a', 'b', 'c', 'd', 'e', 'f'];
    const built: GuestImage[] = [];
    for (const [index, mark] of marks.entries()) {
      built.push(await buildMarked(scratch, mark, new Date(2001, 0, 1 + index).toISOString()));
    }
    assert.equal((await findByRecipe(cacheDir, 'recipe of c'))?.digest, built[2]?.digest);
    assert.equal(await findByRecipe(cacheDir, 'another recipe'), undefined);
    await pruneBuiltImages(cacheDir);
    const left = (await listImages(cacheDir)).images;
    assert.equal(left.length, BUILT_IMAGES_KEPT + 1);
    assert.ok(left.some(({ name }) => name === 'mine'));
    assert.equal(await findByRecipe(cacheDir, 'recipe of a'), undefined);
    assert.notEqual(await findByRecipe(cacheDir, 'recipe of f'), undefined);
    assert.equal((await findImage(cacheDir, 'latest')).digest, built.at(-1)?.digest);

    for (const mark of ['g', 'h', 'i', 'j', 'k']) await buildMarked(scratch, mark);
    await pruneBuiltImages(cacheDir);
    assert.notEqual(await findByRecipe(cacheDir, 'recipe of g'), undefined, 'too young to go');
    assert.equal(await findByRecipe(cacheDir, 'recipe of f'), undefined);
  });
});
