/**
 * The one error class of the image zone. A message says what happened, where, and what to do next;
 * the causes for the log hang on `cause`.
 */
import type { CodedError } from '@onejob/protocol';

export type ImageErrorCode =
  | 'image_not_found'
  | 'image_corrupt'
  | 'image_in_use'
  | 'image_refused'
  | 'image_tool_missing'
  | 'image_build_failed'
  | 'image_disk_full'
  | 'image_cancelled';

export class ImageError extends Error implements CodedError {
  readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ImageError';
    this.code = code;
  }

  /** Only a build can fail for a reason that passes by itself: a mirror that was down or in motion. */
  get retryable(): boolean {
    return this.code === 'image_build_failed';
  }
}

/** Puts what a file system refuses into this zone's words; passes on anything else. */
export function translateFileError(error: unknown, where: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(where, error);
  if (!['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST'].includes(code)) return error;
  return new ImageError(
    'image_build_failed',
    `cannot write below the cache directory ${where} (${code}); ` +
      'make it a directory that this user can write, or name another one',
    { cause: error },
  );
}

export function diskFull(where: string, cause?: unknown): ImageError {
  return new ImageError(
    'image_disk_full',
    `no space left while writing the guest image below ${where}; free some space there ` +
      '(`onejob image list`, `onejob image remove`) or name another cache directory',
    { cause },
  );
}
