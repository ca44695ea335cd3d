/** Where a job's things are: GitHub's layout below the work directory. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { JobTask } from '@onejob/protocol';

export type Layout = {
  work: string;
  /** RUNNER_WORKSPACE: the parent of the workspace. */
  runnerWorkspace: string;
  /** GITHUB_WORKSPACE */
  workspace: string;
  temp: string;
  toolCache: string;
  /** Files of actions of other repositories. */
  actions: string;
  eventPath: string;
  /** The runner's own pipes. */
  pipes: string;
};

export function makeLayout(work: string, github: JobTask['contexts']['github']): Layout {
  const { repository: full } = github;
  const repository = typeof full === 'string' ? full : '';
  const name =
    repository
      .split('/')
      .pop()
      ?.replaceAll(/[^A-Za-z0-9._-]/g, '_') ?? '';
  // Names of directories must not lead out of the work directory.
  const folder = name === '' || name === '.' || name === '..' ? 'repository' : name;
  const temp = join(work, '_temp');
  const layout: Layout = {
    work,
    runnerWorkspace: join(work, folder),
    workspace: join(work, folder, folder),
    temp,
    toolCache: join(work, '_tool'),
    actions: join(work, '_actions'),
    eventPath: join(temp, '_github_workflow', 'event.json'),
    pipes: join(temp, '_runner_output'),
  };
  for (const directory of [layout.workspace, layout.toolCache, join(temp, '_github_workflow')]) {
    mkdirSync(directory, { recursive: true });
  }
  return layout;
}
