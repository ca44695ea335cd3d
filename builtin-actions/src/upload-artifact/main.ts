/**
 * actions/upload-artifact, as its README has it since version 4: one upload makes one artifact, which
 * nobody changes afterwards.
 */
import { DefaultArtifactClient, type UploadArtifactOptions } from '@actions/artifact';
import { debug, setFailed, setOutput, warning } from '@actions/core';
import { basename } from 'node:path';
import { readGitHub } from '../config/environment.ts';
import { say } from '../toolkit/inputs.ts';
import { messageOf, runAction } from '../toolkit/run-action.ts';
import { findFiles } from './find-files.ts';
import { readUploadInputs, type UploadInputs } from './read-inputs.ts';

function tellNothingFound({ ifNoFilesFound, path }: UploadInputs): void {
  const message = `No files were found with the provided path: ${path}. No artifacts will be uploaded.`;
  if (ifNoFilesFound === 'error') setFailed(message);
  else if (ifNoFilesFound === 'warn') warning(message);
  else say(message);
}

/** That there is none, or that it cannot be deleted, shows when its successor is made. */
async function deleteIfThere(client: DefaultArtifactClient, name: string): Promise<void> {
  try {
    const { artifacts } = await client.listArtifacts();
    if (artifacts.some((artifact) => artifact.name === name)) await client.deleteArtifact(name);
  } catch (error) {
    debug(`Unable to delete artifact: ${messageOf(error)}`);
  }
}

await runAction(async () => {
  const inputs = readUploadInputs();
  const { archive, compressionLevel, overwrite, retentionDays } = inputs;
  const { files, rootDirectory } = await findFiles(inputs.path, inputs.includeHiddenFiles);
  const [first] = files;
  if (first === undefined) return tellNothingFound(inputs);
  const s = files.length === 1 ? '' : 's';
  say(`With the provided path, there will be ${files.length} file${s} uploaded`);
  if (!archive && files.length > 1) {
    throw new Error(
      `When 'archive' is set to false, only a single file can be uploaded. Found ${files.length} files to upload.`,
    );
  }
  const client = new DefaultArtifactClient();
  const name = archive ? inputs.name : basename(first);
  if (overwrite) await deleteIfThere(client, name);
  const options: UploadArtifactOptions = {
    ...(retentionDays === undefined || retentionDays === 0 ? {} : { retentionDays }),
    ...(compressionLevel === undefined ? {} : { compressionLevel }),
    ...(archive ? {} : { skipArchive: true }),
  };
  const { digest, id, size } = await client.uploadArtifact(name, files, rootDirectory, options);
  say(
    `Artifact ${name} has been successfully uploaded! Final size is ${size} bytes. Artifact ID is ${id}`,
  );
  const { serverUrl, repository, runId } = readGitHub();
  setOutput('artifact-id', id);
  setOutput('artifact-url', `${serverUrl}/${repository}/actions/runs/${runId}/artifacts/${id}`);
  setOutput('artifact-digest', digest);
});
