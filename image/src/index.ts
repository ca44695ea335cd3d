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
export { importArchive, type ImportArchiveOptions } from './import/import-archive.ts';
export type { GuestImage } from './manifest.ts';
export { bundleGuestRunner, type GuestRunnerBundle } from './runner-bundle.ts';
export { markImageUse } from './promotion/image-use.ts';
export {
  findPromotedImage,
  promotedLabels,
  promoteImage,
  rollbackImage,
  rolesOf,
} from './promotion/promote.ts';
export { readPromotions, type Promotion, type Promotions } from './promotion/promotions-file.ts';
export { removeImage } from './promotion/remove-image.ts';
export { judgeImage, type Gate } from './report/gate.ts';
export {
  readReportSummary,
  reportImage,
  type ImageReport,
  type ReportSummary,
} from './report/report.ts';
export { findImage, listImages, verifyImage, type ImageList } from './store.ts';
