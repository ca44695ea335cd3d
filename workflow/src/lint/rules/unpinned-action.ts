/**
 * `unpinned-action`: an action, a called workflow or a container image is named by something that can
 * be moved to other code. A full commit SHA, or the digest of an image, cannot.
 */
import type { ActionReference, Template } from '@onejob/protocol';
import type { PlannedJob } from '../../model.ts';
import { valueOf } from '../declared.ts';
import type { Found, Rule } from '../finding.ts';
import type { Path, Places } from '../places.ts';

const SHA = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i;
const DIGEST = /@sha256:[0-9a-f]{64}$/i;

export const unpinnedAction: Rule = {
  name: 'unpinned-action',
  check: ({ workflow, places }) =>
    workflow.jobs.flatMap((job) => {
      const called =
        job.call === null ? [] : calledWorkflow(job.call.uses, job.places['uses'] ?? job.at);
      const steps = job.steps.flatMap((step) =>
        step.kind === 'uses' ? usedAction(step.uses, step.action, step.at) : [],
      );
      return [...called, ...imagesOf(job, places), ...steps];
    }),
};

/** Of the job's container and of its services, as far as they are written out. */
function imagesOf({ key, container, services }: PlannedJob, places: Places): Found[] {
  const found: Found[] = [];
  const check = (image: Template | undefined, path: Path): void => {
    if (typeof image !== 'string' || image === '' || DIGEST.test(image)) return;
    found.push(unpinnedImage(image, places.at(path)));
  };
  const checkContainer = (value: Template, path: Path): void => {
    if (typeof value === 'string') check(value, path);
    else check(valueOf(value, 'image'), [...path, 'image']);
  };
  checkContainer(container, ['jobs', key, 'container']);
  const entries =
    services !== null && typeof services === 'object' && 'map' in services ? services.map : [];
  for (const entry of entries) {
    if ('insert' in entry || typeof entry.key !== 'string') continue;
    checkContainer(entry.value, ['jobs', key, 'services', entry.key]);
  }
  return found;
}

const unpinnedImage = (image: string, at: Found['at']): Found => ({
  at,
  severity: 'warning',
  message: `\`${image}\`: its tag can be moved to another image. Name it by digest: @sha256:<64 digits>`,
});

const moved = (uses: string, ref: string, at: Found['at']): Found => ({
  at,
  severity: 'warning',
  message:
    `\`${uses}\`: '${ref}' can be moved to other code. Name the full commit SHA: ` +
    `\`${uses.slice(0, uses.lastIndexOf('@'))}@<40 digits> # ${ref}\``,
});

function usedAction(uses: string, action: ActionReference, at: Found['at']): Found[] {
  switch (action.kind) {
    case 'local':
      return [];
    case 'docker':
      return DIGEST.test(action.image) ? [] : [unpinnedImage(uses, at)];
    case 'repository':
    case 'url':
      return SHA.test(action.ref) ? [] : [moved(uses, action.ref, at)];
  }
}

function calledWorkflow(uses: string, at: Found['at']): Found[] {
  const ref = uses.slice(uses.lastIndexOf('@') + 1);
  if (uses.startsWith('./') || ref === uses || SHA.test(ref)) return [];
  return [moved(uses, ref, at)];
}
