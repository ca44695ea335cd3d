/**
 * What a JavaScript action does with GitHub's clients, in a process of its own because they keep their
 * settings in the environment: `node _client.mjs <act> <JSON arguments>`. Prints one line of JSON last.
 */
import { DefaultArtifactClient } from '@actions/artifact';
import * as cache from '@actions/cache';

const [act, words = '[]'] = process.argv.slice(2);
const artifact = new DefaultArtifactClient();
const ACTS = {
  save: async (paths, key, options) => await cache.saveCache(paths, key, options),
  restore: async (paths, key, restoreKeys) => await cache.restoreCache(paths, key, restoreKeys),
  upload: async (name, files, root) => await artifact.uploadArtifact(name, files, root),
  list: async () => (await artifact.listArtifacts()).artifacts,
  download: async (name, path) => {
    const found = await artifact.getArtifact(name);
    const { digestMismatch } = await artifact.downloadArtifact(found.artifact.id, {
      path,
      expectedHash: found.artifact.digest,
    });
    return { digestMismatch };
  },
  remove: async (name) => await artifact.deleteArtifact(name),
};
try {
  const value = await ACTS[act](...JSON.parse(words));
  process.stdout.write(`\nRESULT ${JSON.stringify({ value })}\n`);
} catch (error) {
  process.stdout.write(
    `\nRESULT ${JSON.stringify({ error: `${error.name}: ${error.message}` })}\n`,
  );
}
