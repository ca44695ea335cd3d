/** Saves what main has built, once. */
import * as cache from '@actions/cache';
import * as core from '@actions/core';

async function run(): Promise<void> {
  const key = core.getInput('key');
  if (core.getState('hit') === key) return core.info(`cache hit on ${key}: not saved`);
  await cache.saveCache(['built'], key);
  core.info(`saved ${key}`);
}

void run().catch((error: unknown) => core.setFailed(error instanceof Error ? error : 'failed'));
