/**
 * The image store of this host, bound to its cache directory: for the `image` commands, `doctor`
 * and the embedded platform.
 */
import {
  buildImage,
  ensureImage,
  findImage,
  importImage,
  listImages,
  removeImage,
  type GuestImage,
  type ImageList,
  type ImageProgress,
} from '@onejob/image';

export type { GuestImage, ImageProgress };

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
    const build = force ? buildImage : ensureImage;
    return await build({ cacheDir: this.#cacheDir, onProgress, signal: this.#signal });
  }

  async find(reference: string): Promise<GuestImage> {
    return await findImage(this.#cacheDir, reference);
  }

  async list(): Promise<ImageList> {
    return await listImages(this.#cacheDir);
  }

  async import(from: string, name: string): Promise<GuestImage> {
    return await importImage({ cacheDir: this.#cacheDir, from, name, signal: this.#signal });
  }

  /** The digest of what was removed. */
  async remove(reference: string): Promise<string> {
    return await removeImage(this.#cacheDir, reference);
  }
}
