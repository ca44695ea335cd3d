/** The inputs of actions/upload-artifact, each checked. */
import { getBooleanInput, getInput } from '@actions/core';
import { readInteger } from '../toolkit/inputs.ts';

export const NO_FILES_FOUND = ['warn', 'error', 'ignore'] as const;

export type UploadInputs = {
  name: string;
  path: string;
  ifNoFilesFound: (typeof NO_FILES_FOUND)[number];
  retentionDays: number | undefined;
  compressionLevel: number | undefined;
  overwrite: boolean;
  includeHiddenFiles: boolean;
  archive: boolean;
};

/** @throws Error that names the input */
export function readUploadInputs(): UploadInputs {
  const wanted = getInput('if-no-files-found');
  const ifNoFilesFound = NO_FILES_FOUND.find((one) => one === wanted);
  if (ifNoFilesFound === undefined) {
    throw new Error(
      `Unrecognized if-no-files-found input. Provided: ${wanted}. Available options: ${NO_FILES_FOUND.join(',')}`,
    );
  }
  const compressionLevel = readInteger('compression-level');
  if (compressionLevel !== undefined && (compressionLevel < 0 || compressionLevel > 9)) {
    throw new Error('Invalid compression-level. Valid values are 0-9');
  }
  const retentionDays = readInteger('retention-days');
  if (retentionDays !== undefined && retentionDays < 0) throw new Error('Invalid retention-days');
  return {
    name: getInput('name'),
    path: getInput('path', { required: true }),
    ifNoFilesFound,
    retentionDays,
    compressionLevel,
    overwrite: getBooleanInput('overwrite'),
    includeHiddenFiles: getBooleanInput('include-hidden-files'),
    archive: getBooleanInput('archive'),
  };
}
