/**
 * `script-injection`: a script has text of somebody else in it before its shell reads it: the title
 * of an issue, a branch of a fork. Whoever writes that text writes the script.
 *
 * What strangers write: GitHub's "Script injections" (contexts that end with body, default_branch,
 * email, head_ref, label, message, name, page_name, ref, title), except where the end of a name alone
 * misleads, and the list of its Security Lab.
 */
import type { CompiledStep, ExprNode, Template } from '@onejob/protocol';
import type { Workflow } from '../../model.ts';
import { type Access, accessOf, accessText } from '../access.ts';
import { fold, valueOf } from '../declared.ts';
import type { Rule } from '../finding.ts';
import type { Site } from '../sites.ts';

const COMMIT = ['message', 'author.email', 'author.name', 'committer.email', 'committer.name'];
/** Ends of names below `github.event`, by GitHub's rule. */
const ENDS: ReadonlySet<string> = new Set([
  ...['body', 'default_branch', 'email', 'head_ref', 'label', 'message', 'name', 'page_name'],
  ...['ref', 'title'],
]);
/**
 * Where such an end is nobody's text: the repository itself and its owners, the branch a pull request
 * goes into, the branch or tag of a push (`github.ref`, too, is taken for harmless), names of workflows
 * of the default branch, and what somebody gives who may start the workflow.
 */
const OWN: readonly string[][] = [
  ...['repository', 'organization', 'enterprise', 'installation', 'inputs', 'client_payload'],
  ...['ref', 'pull_request.base', 'workflow', 'workflow_run.name', 'workflow_run.repository'],
].map((path) => path.split('.'));
/** Below `github`: what ends otherwise, and what things that hold a text are called. `*` is any element. */
const UNTRUSTED: readonly string[][] = [
  'head_ref',
  ...['issue', 'pull_request', 'discussion'].flatMap((of) => [
    `event.${of}.title`,
    `event.${of}.body`,
  ]),
  ...['comment', 'review', 'review_comment'].map((of) => `event.${of}.body`),
  ...['ref', 'label', 'repo.default_branch'].map((of) => `event.pull_request.head.${of}`),
  'event.pages.*.page_name',
  ...COMMIT.flatMap((of) => [`event.commits.*.${of}`, `event.head_commit.${of}`]),
  ...COMMIT.map((of) => `event.workflow_run.head_commit.${of}`),
  ...['head_branch', 'display_title', 'pull_requests.*.head.ref'].map(
    (of) => `event.workflow_run.${of}`,
  ),
  ...COMMIT.map((of) => `event.merge_group.head_commit.${of}`),
  ...['title', 'body'].map((of) => `event.changes.${of}.from`),
].map((path) => path.split('.'));

/** Their answer is true or false, or a digest: nobody's text. */
const HARMLESS = new Set([
  ...['contains', 'startswith', 'endswith', 'success', 'failure', 'always', 'cancelled'],
  'hashfiles',
]);

export const scriptInjection: Rule = {
  name: 'script-injection',
  check: ({ workflow, sites }) =>
    sites.flatMap((site) => {
      const script = scriptOf(site);
      if (script === undefined) return [];
      return untrustedIn(site.expr, environmentsOf(workflow, site)).map((found) => ({
        at: site.at,
        severity: 'error' as const,
        message: describe(found, script),
      }));
    }),
};

type Script = { key: string; reads: (variable: string) => string };
/** `through`: the variable whose `env` holds it. */
type Untrusted = { access: Access; through: string | undefined };

/** Undefined: what stands here becomes no script. */
function scriptOf({ key, entry, step }: Site): Script | undefined {
  const isScript =
    key === 'with' && entry === 'script' && step?.kind === 'uses' && isGithubScript(step);
  if (isScript) return { key: 'script', reads: (variable) => `process.env.${variable}` };
  if (key !== 'run' && key !== 'shell') return undefined;
  return { key, reads: (variable) => `"$${variable}"` };
}

const isGithubScript = ({ action }: Extract<CompiledStep, { kind: 'uses' }>): boolean =>
  action.kind === 'repository' &&
  fold(`${action.owner}/${action.repository}`) === 'actions/github-script';

function describe({ access, through }: Untrusted, { key, reads }: Script): string {
  const text = accessText(access);
  if (through !== undefined) {
    return (
      `\`\${{ env.${through} }}\` puts \`${text}\` into \`${key}\`, where whoever writes that text can ` +
      `run commands. Read the variable in the script instead: ${reads(through)}`
    );
  }
  const variable = variableFor(access);
  return (
    `\`${text}\` is text of a stranger and becomes part of \`${key}\`, where it can run commands. Pass ` +
    `it by the environment: \`env: { ${variable}: \${{ ${text} }} }\`, and write ${reads(variable)}`
  );
}

/** `github.event.issue.title` -> `ISSUE_TITLE`. */
function variableFor({ path }: Access): string {
  const words = path.filter((segment) => segment !== null && fold(segment) !== 'event');
  const name = words.slice(-2).join('_').toUpperCase().replaceAll(/\W/g, '_');
  return name === '' ? 'EVENT' : name;
}

/** The `env` mappings a step of the site sees, nearest first. */
function environmentsOf(workflow: Workflow, { job, step }: Site): Template[] {
  return [step?.env ?? null, job?.env ?? null, workflow.env];
}

function untrustedIn(node: ExprNode, environments: readonly Template[]): Untrusted[] {
  const access = accessOf(node);
  if (access !== undefined) return untrustedAccess(access, environments);
  switch (node.kind) {
    case 'call':
      if (HARMLESS.has(node.name)) return [];
      return valueArgs(node).flatMap((arg) => untrustedIn(arg, environments));
    // `a && b` is b, or an `a` that is empty; `a || b` is either.
    case 'and':
      return node.all.slice(-1).flatMap((one) => untrustedIn(one, environments));
    case 'or':
      return node.all.flatMap((one) => untrustedIn(one, environments));
    case 'index':
    case 'wildcard':
      return untrustedIn(node.of, environments);
    default:
      return [];
  }
}

/** Of `case(test, value, test, value, otherwise)` the tests become no text. */
function valueArgs({ name, args }: Extract<ExprNode, { kind: 'call' }>): readonly ExprNode[] {
  if (name !== 'case') return args;
  return args.filter((_, place) => place % 2 === 1 || place === args.length - 1);
}

function untrustedAccess(access: Access, environments: readonly Template[]): Untrusted[] {
  if (access.root === 'github')
    return isUntrusted(access.path) ? [{ access, through: undefined }] : [];
  const [name] = access.path;
  if (access.root !== 'env' || typeof name !== 'string') return [];
  const value = environments.map((env) => valueOf(env, name)).find((one) => one !== undefined);
  if (value === undefined || value === null || typeof value !== 'object' || !('expr' in value)) {
    return [];
  }
  return untrustedIn(value.expr, [])
    .slice(0, 1)
    .map((found) => ({ access: found.access, through: name }));
}

type Path = readonly (string | null)[];

/** Whether the path ends in an untrusted text, or in something that holds one (`toJSON(github.event)`). */
const isUntrusted = (path: Path): boolean => holdsKnown(path) || endsUntrusted(path);

function holdsKnown(path: Path): boolean {
  return UNTRUSTED.some(
    (text) =>
      path.length <= text.length &&
      path.every((segment, at) => {
        const wanted = text[at];
        return segment === null || wanted === '*' || fold(segment) === wanted;
      }),
  );
}

function endsUntrusted([root, ...path]: Path): boolean {
  if (root === undefined || root === null || fold(root) !== 'event') return false;
  const folded = path.map((segment) => (segment === null ? null : fold(segment)));
  if (OWN.some((own) => own.every((segment, at) => folded[at] === segment))) return false;
  // `changes.title.from` is the title as it was.
  const isFormer = folded[0] === 'changes' && folded.at(-1) === 'from';
  const last = folded.at(isFormer ? -2 : -1) ?? null;
  return last !== null && folded.length > 1 && ENDS.has(last);
}
