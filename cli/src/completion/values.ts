/**
 * Values for completion that are not in the tree of commands: looked up where somebody waits with a
 * finger on the Tab key. So nothing is started for it, and what cannot be known at once is nothing.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { WORKFLOW_FILE_BYTES } from '@onejob/protocol';
import { type Outline, outlineOf } from '@onejob/workflow/outline';
import { ApiClient } from '../api-client.ts';
import { findDirectories } from '../config/environment.ts';
import type { Candidate, ValueKind } from './candidates.ts';

/** Runs named: those of the last while, newest first. */
const NAMED_RUNS = 20;
const WORKFLOW_FILE = /\.ya?ml$/;

/** @param dataDirectory as typed with --data-dir */
export async function lookUp(
  kind: ValueKind,
  dataDirectory: string | undefined,
): Promise<Candidate[]> {
  switch (kind) {
    case 'workflows':
      return (await workflowFiles()).map((file) => ({
        value: relative('.', file),
        description: '',
      }));
    case 'jobs':
      return await named(({ jobs }) => jobs);
    case 'legs':
      return await named(({ legs }) => legs);
    case 'events':
      return await named(({ events }) => events);
    case 'runs':
      return [{ value: 'latest', description: 'the latest run' }, ...(await runs(dataDirectory))];
    case 'images':
      return await images();
    case 'files':
    case 'none':
      return [];
  }
}

/** Names of all workflows, each once, with the file they are in. */
async function named(names: (outline: Outline) => string[]): Promise<Candidate[]> {
  const found = new Map<string, string>();
  for (const file of await workflowFiles()) {
    const text = await readWorkflow(file).catch(() => '');
    for (const name of names(outlineOf(text)))
      if (!found.has(name)) found.set(name, relative('.', file));
  }
  return Array.from(found, ([value, description]) => ({ value, description }));
}

/** A name may stand for a pipe that nobody writes to, or for gigabytes. */
async function readWorkflow(file: string): Promise<string> {
  const found = await stat(file);
  if (!found.isFile() || found.size > WORKFLOW_FILE_BYTES) return '';
  return await readFile(file, 'utf8');
}

/** Of the checkout around the current directory. */
async function workflowFiles(): Promise<string[]> {
  for (let directory = process.cwd(); ; directory = dirname(directory)) {
    const place = join(directory, '.github', 'workflows');
    const names = await readdir(place).catch(() => []);
    const files = names.filter((name) => WORKFLOW_FILE.test(name)).toSorted();
    if (files.length > 0) return files.map((name) => join(place, name));
    const isTop = await stat(join(directory, '.git')).then(
      () => true,
      () => false,
    );
    if (isTop || directory === dirname(directory)) return [];
  }
}

/** Of a platform that runs now; nobody waits for one to start. */
async function runs(dataDirectory: string | undefined): Promise<Candidate[]> {
  const { data } = findDirectories(dataDirectory);
  try {
    const api = ApiClient.ofDataDirectory(join(data, 'api.sock'), join(data, 'api.token'));
    return (await api.runs(NAMED_RUNS)).map((run) => ({
      value: String(run.number),
      description: `${run.repository} ${run.workflowName}, ${run.conclusion ?? run.state}`,
    }));
  } catch {
    return [];
  }
}

async function images(): Promise<Candidate[]> {
  // Loaded for this alone: every other Tab is answered without it.
  const { ImageStore } = await import('../embedded/images.ts');
  const { images: stored } = await new ImageStore(findDirectories(undefined).cache)
    .list()
    .catch(() => ({ images: [] }));
  return stored.map(({ name, digest }) => ({ value: name, description: digest.slice(0, 12) }));
}
