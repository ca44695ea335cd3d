/** From the cache, or built; then an artifact. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { DefaultArtifactClient } from '@actions/artifact';
import * as cache from '@actions/cache';
import * as core from '@actions/core';

async function run(): Promise<void> {
  const key = core.getInput('key');
  const hit = await cache.restoreCache(['built'], key, ['build-']);
  core.setOutput('cache-hit', hit === key);
  core.saveState('hit', hit ?? '');
  if (hit === undefined) {
    mkdirSync('built', { recursive: true });
    writeFileSync('built/app.txt', `built in run ${process.env['GITHUB_RUN_ID']}`);
  }
  const name = core.getInput('artifact');
  const { id } = await new DefaultArtifactClient().uploadArtifact(name, ['built/app.txt'], 'built');
  core.setOutput('artifact-id', id);
}

void run().catch((error: unknown) => core.setFailed(error instanceof Error ? error : 'failed'));
