/**
 * How images go: by name, or because newer ones were built. One that new jobs get, or that a machine
 * or a process uses now, stays. No promotion can happen in between.
 */
import { ImageError } from '../errors.ts';
import { BUILT_IMAGE_MIN_AGE_MS, BUILT_IMAGES_KEPT } from '../limits.ts';
import { forgetReport } from '../report/report.ts';
import { discardImage, listImages, resolveReference } from '../store.ts';
import { usersOfImage } from './image-use.ts';
import { rolesOf, whileImagesStay } from './promote.ts';
import { readPromotions } from './promotions-file.ts';

/** Removes one image and returns its digest; refuses one that is current or in use. */
export async function removeImage(cacheDir: string, reference: string): Promise<string> {
  return await whileImagesStay(cacheDir, async () => {
    const digest = await resolveReference(cacheDir, reference);
    const { images } = await listImages(cacheDir);
    const image = images.find((one) => one.digest === digest);
    const roles = rolesOf(await readPromotions(cacheDir)).get(digest) ?? [];
    const current = roles.filter((role) => role.startsWith('current'));
    if (current.length > 0) {
      throw new ImageError(
        'image_in_use',
        `${reference} is ${current.join(', ')}: new jobs get it; promote another one first ` +
          '(`onejob image promote`), or go back (`onejob image rollback`)',
      );
    }
    const users = image === undefined ? [] : await usersOfImage(cacheDir, image);
    if (users.length > 0) {
      const message = `${reference} is used by ${users.join(', ')}; remove it when that has ended`;
      throw new ImageError('image_in_use', message);
    }
    await discardImage(cacheDir, digest);
    await forgetReport(cacheDir, digest);
    return digest;
  });
}

/**
 * Removes old built images beyond the newest few. Those that are promoted, or were before, or are in
 * use stay; imported ones belong to the user.
 */
export async function pruneBuiltImages(cacheDir: string): Promise<void> {
  await whileImagesStay(cacheDir, async () => {
    const { images } = await listImages(cacheDir);
    const roles = rolesOf(await readPromotions(cacheDir));
    const built = images.filter(({ origin }) => origin === 'built');
    for (const image of built.slice(BUILT_IMAGES_KEPT)) {
      const ageMs = Date.now() - Date.parse(image.createdAt);
      if (ageMs < BUILT_IMAGE_MIN_AGE_MS || roles.has(image.digest)) continue;
      if ((await usersOfImage(cacheDir, image)).length > 0) continue;
      await discardImage(cacheDir, image.digest);
      await forgetReport(cacheDir, image.digest);
    }
  });
}
