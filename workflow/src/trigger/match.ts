/**
 * Whether an event starts a workflow: the event's name, its activity type, and the filters on
 * branches, tags, paths and workflow names.
 *
 * What is not known does not keep a workflow from starting: no list of changed files counts as a
 * match of every path, as on GitHub when a diff is too large; an event without an activity is not
 * held against `types`.
 *
 * Source: "Events that trigger workflows" and `on.<event>` of GitHub's workflow syntax.
 */
import type { Json, JsonObject } from '@onejob/protocol';
import { isObject } from '../evaluate/values.ts';
import type { PatternFilter, Trigger, Workflow } from '../model.ts';
import { matchesPattern } from './glob.ts';

export type TriggerEvent = {
  name: string;
  payload: JsonObject;
  /** `refs/heads/main`, `refs/tags/v1`, `refs/pull/7/merge`. */
  ref: string;
  /** Paths; null: not known. */
  changedFiles: string[] | null;
  /** Message of the newest commit of a pull request; null: not known. That of a push is in its payload. */
  headMessage: string | null;
};

/** Activities that start a workflow whose event names none; events that are not here: every one. */
const DEFAULT_TYPES = new Map<string, string[]>([
  ['pull_request', ['opened', 'synchronize', 'reopened']],
  ['pull_request_target', ['opened', 'synchronize', 'reopened']],
]);

/** Later patterns win: `!` takes away, one without it adds again. */
function selects(patterns: string[], text: string): boolean {
  let selected = false;
  for (const pattern of patterns) {
    const negative = pattern.startsWith('!');
    if (negative === selected && matchesPattern(negative ? pattern.slice(1) : pattern, text)) {
      selected = !negative;
    }
  }
  return selected;
}

const passes = (filter: PatternFilter, text: string): boolean =>
  selects(filter.patterns, text) !== filter.ignore;

function textAt(value: Json | undefined, ...path: string[]): string | null {
  let at: Json | undefined = value;
  for (const key of path) {
    at = at !== undefined && isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  }
  return typeof at === 'string' ? at : null;
}

function branchOf(event: TriggerEvent): string | null {
  const { name, payload, ref } = event;
  const short = (full: string | null) => full?.replace(/^refs\/heads\//, '') ?? null;
  if (name === 'pull_request' || name === 'pull_request_target') {
    return textAt(payload, 'pull_request', 'base', 'ref');
  }
  if (name === 'merge_group') return short(textAt(payload, 'merge_group', 'base_ref'));
  if (name === 'workflow_run') return textAt(payload, 'workflow_run', 'head_branch');
  return ref.startsWith('refs/heads/') ? short(ref) : null;
}

const list = (patterns: string[]): string => patterns.map((one) => `'${one}'`).join(', ');

function describe(key: string, filter: PatternFilter): string {
  return `\`${key}${filter.ignore ? '-ignore' : ''}\` (${list(filter.patterns)})`;
}

function whyNotTypes(trigger: Trigger, event: TriggerEvent): string | null {
  const types = trigger.types ?? DEFAULT_TYPES.get(event.name);
  const action = textAt(event.payload, 'action');
  if (types === undefined || action === null || types.includes(action)) return null;
  const whose = trigger.types === null ? `the default types of '${event.name}'` : '`types`';
  return `the activity '${action}' is not among ${whose} (${list(types)})`;
}

/** A push of a tag looks at `tags`, one of a branch at `branches`; naming one kind excludes the other. */
function whyNotRef(trigger: Trigger, event: TriggerEvent): string | null {
  const { branches, tags } = trigger;
  if (event.name === 'push' && event.ref.startsWith('refs/tags/')) {
    const tag = event.ref.slice('refs/tags/'.length);
    if (tags === null) return branches === null ? null : `only branches are named, not tags`;
    return passes(tags, tag) ? null : `the tag '${tag}' does not pass ${describe('tags', tags)}`;
  }
  if (event.name === 'push' && branches === null && tags !== null) {
    return 'only tags are named, not branches';
  }
  const branch = branchOf(event);
  if (branches === null || branch === null || passes(branches, branch)) return null;
  return `the branch '${branch}' does not pass ${describe('branches', branches)}`;
}

function whyNotPaths(trigger: Trigger, event: TriggerEvent): string | null {
  const { paths } = trigger;
  const { changedFiles } = event;
  if (paths === null || changedFiles === null || event.ref.startsWith('refs/tags/')) return null;
  if (changedFiles.some((path) => passes(paths, path))) return null;
  if (changedFiles.length === 0) return 'no file changed, and `paths` ask for one';
  return `no changed file passes ${describe('paths', paths)}`;
}

function whyNotWorkflow(trigger: Trigger, event: TriggerEvent): string | null {
  const { workflows } = trigger;
  const name = textAt(event.payload, 'workflow_run', 'name');
  if (workflows === null || name === null || selects(workflows, name)) return null;
  return `the workflow '${name}' is not among \`workflows\` (${list(workflows)})`;
}

const SKIP_WORDS = /\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]/;
const SKIP_TRAILER = /^skip-checks: ?true\s*$/;

/**
 * The author of a commit can ask that it starts nothing. Its trailers stand at its end, behind two
 * empty lines, and the one that asks is the last of them. Source: "Skipping workflow runs".
 */
function skipIn(message: string): string | undefined {
  const [word] = SKIP_WORDS.exec(message) ?? [];
  if (word !== undefined) return word;
  const lines = message.replaceAll('\r', '').trimEnd().split('\n');
  const before = lines.findLastIndex((line) => line.trim() === '');
  const areTwo = before > 0 && lines[before - 1]?.trim() === '';
  return areTwo && SKIP_TRAILER.test(lines.at(-1) ?? '') ? 'skip-checks: true' : undefined;
}

function whyNotMessage({ name, payload, headMessage }: TriggerEvent): string | null {
  const isPush = name === 'push';
  if (!isPush && name !== 'pull_request') return null;
  const message = isPush ? textAt(payload, 'head_commit', 'message') : headMessage;
  const said = skipIn(message ?? '');
  return said === undefined ? null : `the message of its last commit says '${said}'`;
}

function whyNotSchedule(trigger: Trigger, event: TriggerEvent): string | null {
  const cron = textAt(event.payload, 'schedule');
  const known = trigger.schedules.map((one) => one.cron);
  if (event.name !== 'schedule' || cron === null || known.includes(cron)) return null;
  return `'${cron}' is none of its schedules (${list(known)})`;
}

/** The schedule that starts a workflow where nobody names one: its first. undefined: it has none. */
export const scheduleOf = (workflow: Workflow): string | undefined =>
  workflow.triggers.find((one) => one.event === 'schedule')?.schedules[0]?.cron;

/** @returns `why` in a sentence, both ways */
export function isTriggered(
  workflow: Workflow,
  event: TriggerEvent,
): { triggered: boolean; why: string } {
  const trigger = workflow.triggers.find((one) => one.event === event.name);
  if (trigger === undefined) {
    const known = list(workflow.triggers.map((one) => one.event));
    return { triggered: false, why: `\`on\` does not name '${event.name}' (it names ${known})` };
  }
  const why =
    whyNotMessage(event) ??
    whyNotTypes(trigger, event) ??
    whyNotRef(trigger, event) ??
    whyNotPaths(trigger, event) ??
    whyNotWorkflow(trigger, event) ??
    whyNotSchedule(trigger, event);
  if (why !== null) return { triggered: false, why };
  return { triggered: true, why: `\`on\` names '${event.name}' and its filters let it pass` };
}
