/**
 * The image store of this host, bound to its cache directory: for the `image` commands, `doctor`
 * and the embedded platform.
 */
import {
  buildImage,
  checkImage,
  ensureImage,
  findImage,
  findPromotedImage,
  importArchive,
  judgeImage,
  listImages,
  markImageUse,
  promotedLabels,
  promoteImage,
  readPromotions,
  readReportSummary,
  removeImage,
  reportImage,
  rollbackImage,
  type Gate,
  type GuestImage,
  type ImageList,
  type ImageProgress,
  type ImageReport,
  type Promotion,
  type Promotions,
  type ReportSummary,
} from '@onejob/image';
import { CliError } from '../errors.ts';
import { makeCacheDirectory } from './make-directory.ts';

export { rolesOf } from '@onejob/image';
export type { Gate, GuestImage, ImageProgress, ImageReport, Promotion, ReportSummary };

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

  /** `notes`: what jobs will miss in it, a sentence each. */
  async import(
    from: string,
    name: string | undefined,
    onProgress: (progress: ImageProgress) => void,
  ): Promise<{ image: GuestImage; notes: string[] }> {
    await makeCacheDirectory(this.#cacheDir);
    const [cacheDir, signal] = [this.#cacheDir, this.#signal];
    return await importArchive({ cacheDir, from, name, onProgress, signal });
  }

  /** What new jobs with these labels get; undefined: nothing was promoted for them. */
  async findPromoted(labels: readonly string[]): Promise<GuestImage | undefined> {
    return await findPromotedImage(this.#cacheDir, labels);
  }

  /** Labels with an image of their own. */
  async promotedLabels(): Promise<string[]> {
    return await promotedLabels(this.#cacheDir);
  }

  async promotions(): Promise<Promotions> {
    return await readPromotions(this.#cacheDir);
  }

  /** What is in an image and what is known of it; undefined: what jobs without a label get now. */
  async report(reference: string | undefined, dataPath: string | undefined): Promise<ImageReport> {
    const cacheDir = this.#cacheDir;
    const image =
      reference === undefined
        ? ((await this.findPromoted([])) ?? (await this.check()))
        : await this.find(reference);
    if (image !== undefined) return await reportImage({ cacheDir, image, dataPath });
    throw new CliError('not_found', 'There is no image yet. Build one with: onejob image build');
  }

  async reportSummary(digest: string): Promise<ReportSummary | undefined> {
    return await readReportSummary(this.#cacheDir, digest);
  }

  /** Reports, judges and promotes; no promotion: new jobs get it already. */
  async promote(
    reference: string,
    options: {
      label?: string | undefined;
      maxSeverity: Gate;
      force?: string | undefined;
      dataPath?: string | undefined;
    },
  ): Promise<{ report: ImageReport; promotion: Promotion | undefined }> {
    await makeCacheDirectory(this.#cacheDir);
    const report = await this.report(reference, options.dataPath);
    const judgement = judgeImage(report, options);
    const { label } = options;
    const [cacheDir, signal] = [this.#cacheDir, this.#signal];
    const promotion = await promoteImage({ cacheDir, reference, label, judgement, signal });
    return { report, promotion };
  }

  async rollback(label: string | undefined): Promise<Promotion> {
    await makeCacheDirectory(this.#cacheDir);
    return await rollbackImage({ cacheDir: this.#cacheDir, label });
  }

  /** A machine is about to be started from it: until then nobody removes it. */
  async markUse(image: GuestImage): Promise<GuestImage> {
    await markImageUse(this.#cacheDir, image.digest);
    return image;
  }

  /** The digest of what was removed. */
  async remove(reference: string): Promise<string> {
    return await removeImage(this.#cacheDir, reference);
  }
}
