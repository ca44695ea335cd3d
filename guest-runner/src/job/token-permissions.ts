/** What the job's token may do, as GitHub's runner shows it in "Set up job". */
import type { Permissions } from '@onejob/protocol';

/** `pull-requests` -> `PullRequests`. */
const shown = (scope: string): string =>
  scope
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

/** A group of rows; every token may read metadata. */
export function permissionRows(permissions: Permissions): string[] {
  const granted = Object.entries(permissions).filter(([, level]) => level !== 'none');
  const rows = [...granted, ['metadata', 'read'] as const].map(
    ([scope, level]) => `${shown(scope)}: ${level}`,
  );
  return ['##[group]GITHUB_TOKEN Permissions', ...rows.toSorted(), '##[endgroup]'];
}
