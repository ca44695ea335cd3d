/**
 * Whether a job names an action: in its own steps, or through composite actions of its run's commit
 * and of repositories of its tenant. What nobody wrote down is not given, whatever a job asks for.
 */
import { posix } from 'node:path';
import type { CompiledStep } from '@onejob/protocol';
import type { Repositories, RepositoryId } from '../git/repositories.ts';
import { LOCAL_ACTIONS } from '../limits.ts';
import type { FilePlace, WorkflowFiles } from '../runs/workflow-files.ts';

export type NamedAction = { owner: string; repository: string; ref: string };

/** A directory of a commit. */
type Place = FilePlace;

const METADATA = ['action.yml', 'action.yaml'];

/** @param commit the run's own: where `./path` is looked for */
export async function namesAction(
  from: { files: WorkflowFiles; repositories: Repositories; signal: AbortSignal },
  job: { steps: readonly CompiledStep[]; commit: { repository: RepositoryId; sha: string } },
  wanted: NamedAction,
): Promise<boolean> {
  const { tenant } = job.commit.repository;
  const known = new Set<string>();
  let level: CompiledStep[] = [...job.steps];
  while (level.length > 0) {
    const next: CompiledStep[] = [];
    for (const step of level) {
      if (step.kind !== 'uses') continue;
      const { action } = step;
      if (action.kind === 'repository' && isSame(action, wanted)) return true;
      if (known.has(step.uses) || known.size >= LOCAL_ACTIONS) continue;
      from.signal.throwIfAborted();
      known.add(step.uses);
      const place = await placeOf(from.repositories, job.commit, tenant, action);
      if (place !== undefined) next.push(...(await innerSteps(from.files, place)));
    }
    level = next;
  }
  return false;
}

/** Names of owners and repositories have no case, as on GitHub; refs have. */
const isSame = (one: NamedAction, other: NamedAction): boolean =>
  `${one.owner}/${one.repository}`.toLowerCase() ===
    `${other.owner}/${other.repository}`.toLowerCase() && one.ref === other.ref;

/** undefined: the action is not on this platform. */
async function placeOf(
  repositories: Repositories,
  commit: { repository: RepositoryId; sha: string },
  tenant: string,
  action: Extract<CompiledStep, { kind: 'uses' }>['action'],
): Promise<Place | undefined> {
  if (action.kind === 'local') {
    return { ...commit, path: action.path.replaceAll('\\', '/') };
  }
  const isOwn = action.kind === 'repository' && action.owner.toLowerCase() === tenant.toLowerCase();
  if (!isOwn) return undefined;
  const repository = await repositories.named(tenant, action.repository);
  if (repository === undefined) return undefined;
  const resolved = await repositories.resolve(repository, action.ref);
  return resolved === undefined ? undefined : { repository, sha: resolved.sha, path: action.path };
}

async function innerSteps(files: WorkflowFiles, place: Place): Promise<CompiledStep[]> {
  for (const name of METADATA) {
    const path = posix.join(place.path, name);
    if (path.startsWith('..')) return [];
    const found = await files.readAction({ ...place, path }, path);
    if (found === undefined) continue;
    return found.ok && found.manifest.runs.kind === 'composite' ? found.manifest.runs.steps : [];
  }
  return [];
}
