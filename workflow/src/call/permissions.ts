/**
 * `permissions` of workflows and jobs: what the job's token may do, scope by scope.
 *
 * A job's own win over its workflow's; a called workflow that says nothing has its caller's. Where
 * nobody says anything it is GitHub's restricted default. Source: "permissions" of GitHub's
 * workflow syntax, and "Access and permissions for nested workflows".
 */
import type { PermissionLevel, Permissions, Template } from '@onejob/protocol';
import { evaluateTemplate } from '../evaluate/index.ts';
import { isObject } from '../evaluate/values.ts';
import type { PlannedJob, Workflow } from '../model.ts';

/** Every scope, with the most it can be given and, where there is none, without `read`. */
const SCOPES: readonly { name: string; most: 'read' | 'write'; isWriteOnly?: boolean }[] = [
  { name: 'actions', most: 'write' },
  { name: 'artifact-metadata', most: 'write' },
  { name: 'attestations', most: 'write' },
  { name: 'checks', most: 'write' },
  { name: 'code-quality', most: 'write' },
  { name: 'contents', most: 'write' },
  { name: 'copilot-requests', most: 'write', isWriteOnly: true },
  { name: 'deployments', most: 'write' },
  { name: 'discussions', most: 'write' },
  { name: 'drives', most: 'write' },
  { name: 'id-token', most: 'write', isWriteOnly: true },
  { name: 'issues', most: 'write' },
  { name: 'models', most: 'read' },
  { name: 'packages', most: 'write' },
  { name: 'pages', most: 'write' },
  { name: 'pull-requests', most: 'write' },
  { name: 'repository-projects', most: 'write' },
  { name: 'security-events', most: 'write' },
  { name: 'statuses', most: 'write' },
  { name: 'vulnerability-alerts', most: 'read' },
];
const RANK: Record<PermissionLevel, number> = { none: 0, read: 1, write: 2 };

const each = (
  level: (scope: (typeof SCOPES)[number]) => PermissionLevel | undefined,
): Permissions => Object.fromEntries(SCOPES.map((scope) => [scope.name, level(scope) ?? 'none']));

/** What is written; null: nothing. The schema knows no other scopes and levels. */
function read(template: Template): Permissions | null {
  if (template === null) return null;
  if (template === 'read-all') return each((scope) => (scope.isWriteOnly ? 'none' : 'read'));
  if (template === 'write-all') return each((scope) => scope.most);
  const value = evaluateTemplate(template, { contexts: {} });
  if (!isObject(value)) return each(() => 'none');
  return each(({ name }) => {
    const level = Object.hasOwn(value, name) ? value[name] : undefined;
    return level === 'read' || level === 'write' ? level : 'none';
  });
}

/** Of the job, or of its workflow; null: neither writes any. */
export function explicitPermissions(
  workflow: Pick<Workflow, 'permissions'>,
  job: Pick<PlannedJob, 'permissions'>,
): Permissions | null {
  return read(job.permissions) ?? read(workflow.permissions);
}

/** With GitHub's restricted default where nobody wrote any. */
export function permissionsOf(explicit: Permissions | null): Permissions {
  const isDefault = (name: string) => name === 'contents' || name === 'packages';
  return explicit ?? each(({ name }) => (isDefault(name) ? 'read' : 'none'));
}

/** Scopes that ask for more than is allowed, as GitHub lists them; null: none does. */
export function violations(
  requested: Template,
  allowed: Permissions,
): { requested: string; allowed: string } | null {
  const wanted = Object.entries(read(requested) ?? {});
  const over = wanted.filter(([name, level]) => RANK[level] > RANK[allowed[name] ?? 'none']);
  if (over.length === 0) return null;
  return {
    requested: over.map(([name, level]) => `${name}: ${level}`).join(', '),
    allowed: over.map(([name]) => `${name}: ${allowed[name] ?? 'none'}`).join(', '),
  };
}
