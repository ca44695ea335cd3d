/**
 * The image store of this host, bound to its cache directory: for the `image` commands, `doctor`
 * and the embedded platform.
 */
import {
  buildImage,
  checkImage,
  ensureImage,
  findImage,
  importImage,
  listImages,
  removeImage,
  type GuestImage,
  type ImageList,
  type ImageProgress,
} from '@onejob/image';
import { makeCacheDirectory } from './make-directory.ts';

export type { GuestImage, ImageProgress };

/** Told of a build as it goes on; `end` once, with the image where there is one. */
export type ImageWatcher = {
  show(progress: ImageProgress): void;
  end(image?: GuestImage): void;
};

export class ImageStore {
  readonly #cacheDir: string;
  readonly #signal: AbortSignal | undefined;

  /** @param signal ends a build or an import early, with nothing left behind */
  constructor(cacheDir: string, signal?: AbortSignal) {
    this.#cacheDir = cacheDir;
    this.#signal = signal;
  }

  /** onejob's own image, built when it is missing; with `force` built anew. */
  async build(force: boolean, onProgress: (progress: ImageProgress) => void): Promise<GuestImage> {
    await makeCacheDirectory(this.#cacheDir);
    const build = force ? buildImage : ensureImage;
    return await build({ cacheDir: this.#cacheDir, onProgress, signal: this.#signal });
  }

  /** onejob's own image; undefined: it can be built. Rejects with what a build would need. */
  async check(): Promise<GuestImage | undefined> {
    await makeCacheDirectory(this.#cacheDir);
    return await checkImage({ cacheDir: this.#cacheDir });
  }

  /** The image of jobs that name none: built when it is missing, before somebody's eyes. */
  async buildWatched(watcher: ImageWatcher): Promise<GuestImage> {
    try {
      const image = await this.build(false, (progress) => watcher.show(progress));
      watcher.end(image);
      return image;
    } catch (error) {
      watcher.end();
      throw error;
    }
  }

  async find(reference: string): Promise<GuestImage> {
    return await findImage(this.#cacheDir, reference);
  }

  async list(): Promise<ImageList> {
    return await listImages(this.#cacheDir);
  }

  async import(from: string, name: string): Promise<GuestImage> {
    await makeCacheDirectory(this.#cacheDir);
    return await importImage({ cacheDir: this.#cacheDir, from, name, signal: this.#signal });
  }

  /** The digest of what was removed. */
  async remove(reference: string): Promise<string> {
    return await removeImage(this.#cacheDir, reference);
  }
}
