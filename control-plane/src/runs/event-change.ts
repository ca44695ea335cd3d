/** What a request says its event has changed, for those events whose `paths` and commits are looked at. */
import type { CreateRun, JsonObject } from '@onejob/protocol';
import type { Workflow } from '@onejob/workflow';
import type { Change } from '../git/changed-files.ts';
import { textAt } from './run-contexts.ts';

/** undefined: the event has no paths to filter by. A pushed tag has none either. */
export function changeOf({ event, ref, sha }: CreateRun): Change | undefined {
  const payload = event.payload as JsonObject;
  switch (event.name) {
    case 'push': {
      if (ref.startsWith('refs/tags/')) return undefined;
      const oldest = textAt(payload, 'commits', '0', 'id');
      return { kind: 'push', before: textAt(payload, 'before'), after: sha, oldest };
    }
    case 'pull_request':
    case 'pull_request_target': {
      const base = textAt(payload, 'pull_request', 'base', 'sha');
      return { kind: 'pull_request', base, head: headOf({ event, sha }) };
    }
    default:
      return undefined;
  }
}

/** The newest commit of a pull request; where the event does not say, the one it runs. */
export function headOf({ event, sha }: Pick<CreateRun, 'event' | 'sha'>): string {
  const head = textAt(event.payload, 'pull_request', 'head', 'sha');
  return head === '' ? sha : head;
}

/** Whether the event's filters ask for the files it changed. */
export const asksForFiles = ({ triggers }: Workflow, event: string): boolean =>
  triggers.some((trigger) => trigger.event === event && trigger.paths !== null);
