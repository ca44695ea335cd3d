/**
 * `unpinned-action`: an action, a called workflow or a container image is named by something that can
 * be moved to other code. A full commit SHA, or the digest of an image, cannot.
 */
import type { ActionReference } from '@onejob/protocol';
import type { Found, Rule } from '../finding.ts';

const SHA = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i;
const DIGEST = /@sha256:[0-9a-f]{64}$/i;

export const unpinnedAction: Rule = {
  name: 'unpinned-action',
  check: ({ workflow }) =>
    workflow.jobs.flatMap((job) => {
      const called =
        job.call === null ? [] : calledWorkflow(job.call.uses, job.places['uses'] ?? job.at);
      const steps = job.steps.flatMap((step) =>
        step.kind === 'uses' ? usedAction(step.uses, step.action, step.at) : [],
      );
      return [...called, ...steps];
    }),
};

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
      if (DIGEST.test(action.image)) return [];
      return [
        {
          at,
          severity: 'warning',
          message: `\`${uses}\`: its tag can be moved to another image. Name it by digest: @sha256:<64 digits>`,
        },
      ];
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
