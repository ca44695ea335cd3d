/** The guest image and the store it lives in. */
export {
  buildImage,
  checkImage,
  ensureImage,
  type ImageOptions,
  type ImageProgress,
  type ImageStep,
} from './build.ts';
export { ImageError, type ImageErrorCode } from './errors.ts';
export { importImage, type ImportOptions } from './import-image.ts';
export type { GuestImage } from './manifest.ts';
export { bundleGuestRunner, type GuestRunnerBundle } from './runner-bundle.ts';
export { findImage, listImages, removeImage, verifyImage, type ImageList } from './store.ts';
