/**
 * actions/download-artifact, as its README has it since version 5: one artifact goes into `path`
 * itself, several into a directory each unless they are merged.
 */
import { type Artifact, DefaultArtifactClient } from '@actions/artifact';
import { debug, setOutput, warning } from '@actions/core';
import { Minimatch } from 'minimatch';
import { join } from 'node:path';
import { say } from '../toolkit/inputs.ts';
import { messageOf, runAction } from '../toolkit/run-action.ts';
import { type DownloadInputs, readDownloadInputs, type Selection } from './read-inputs.ts';

/** More at a time only share the way to the store. */
const DOWNLOADS_AT_A_TIME = 5;

function chooseById(artifacts: readonly Artifact[], ids: readonly number[]): Artifact[] {
  const found = artifacts.filter(({ id }) => ids.includes(id));
  if (found.length === 0) throw new Error('None of the provided artifact IDs were found');
  const missing = ids.filter((id) => !found.some((artifact) => artifact.id === id));
  if (missing.length > 0) {
    warning(`Could not find the following artifact IDs: ${missing.join(', ')}`);
  }
  return found;
}

function tellAll(mergeMultiple: boolean): void {
  say('No input name, artifact-ids or pattern filtered specified, downloading all artifacts');
  if (mergeMultiple) return;
  say('An extra directory with the artifact name will be created for each download');
}

async function choose(
  client: DefaultArtifactClient,
  selection: Selection,
  mergeMultiple: boolean,
): Promise<Artifact[]> {
  if (selection.kind === 'name') {
    say('Downloading single artifact');
    return [(await client.getArtifact(selection.name)).artifact];
  }
  if (selection.kind === 'ids') say('Downloading artifacts by ID');
  const { artifacts } = await client.listArtifacts({ latest: true });
  debug(`Found ${artifacts.length} artifacts in run`);
  if (selection.kind === 'ids') return chooseById(artifacts, selection.ids);
  if (selection.kind === 'pattern') {
    say(`Filtering artifacts by pattern '${selection.pattern}'`);
    const matcher = new Minimatch(selection.pattern);
    return artifacts.filter(({ name }) => matcher.match(name));
  }
  tellAll(mergeMultiple);
  return artifacts;
}

function tellMismatch(name: string, { digestMismatch }: DownloadInputs): void {
  const message = `Artifact '${name}' digest validation failed. Please verify the integrity of the artifact.`;
  if (digestMismatch === 'error') throw new Error(message);
  if (digestMismatch === 'warn') warning(message);
  else if (digestMismatch === 'info') say(message);
}

async function download(
  client: DefaultArtifactClient,
  artifacts: readonly Artifact[],
  inputs: DownloadInputs,
): Promise<void> {
  const { mergeMultiple, path, selection, skipDecompress } = inputs;
  const isSingle =
    selection.kind === 'name' || (selection.kind === 'ids' && artifacts.length === 1);
  for (let i = 0; i < artifacts.length; i += DOWNLOADS_AT_A_TIME) {
    const some = artifacts.slice(i, i + DOWNLOADS_AT_A_TIME);
    await Promise.all(
      some.map(async ({ digest, id, name }) => {
        const { digestMismatch } = await client.downloadArtifact(id, {
          path: isSingle || mergeMultiple ? path : join(path, name),
          skipDecompress,
          ...(digest === undefined ? {} : { expectedHash: digest }),
        });
        if (digestMismatch === true) tellMismatch(name, inputs);
      }),
    );
  }
}

async function downloadArtifacts(): Promise<void> {
  const inputs = readDownloadInputs();
  const client = new DefaultArtifactClient();
  const artifacts = await choose(client, inputs.selection, inputs.mergeMultiple);
  if (artifacts.length > 0) say('Preparing to download the following artifacts:');
  for (const { digest, id, name, size } of artifacts) {
    say(`- ${name} (ID: ${id}, Size: ${size}, Expected Digest: ${digest})`);
  }
  await download(client, artifacts, inputs);
  say(`Total of ${artifacts.length} artifact(s) downloaded`);
  setOutput('download-path', inputs.path);
  say('Download artifact has finished successfully');
}

await runAction(async () => {
  try {
    await downloadArtifacts();
  } catch (error) {
    throw new Error(`Unable to download artifact(s): ${messageOf(error)}`, { cause: error });
  }
});
