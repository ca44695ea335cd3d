/**
 * The payload of an event that happens on the user's machine, as a forge would have sent it for
 * this commit: the fields workflows read most (GitHub's "Webhook events and payloads", push and
 * pull_request). `--event-file` replaces fields of it.
 */
import type { Snapshot } from './snapshot.ts';

export function eventPayload(
  event: string,
  snapshot: Snapshot,
  inputs: Record<string, string>,
  given: Record<string, unknown> | undefined,
): Record<string, unknown> {
  return { ...basePayload(event, snapshot, inputs), ...given };
}

/**
 * The ref an event of this payload comes from ("Events that trigger workflows"): of a pull request its
 * merge ref, or the branch it would go into where the event runs on that side.
 */
export function eventRef(
  event: string,
  snapshot: Pick<Snapshot, 'ref' | 'defaultBranch'>,
  payload: Record<string, unknown>,
): string {
  if (typeof payload['ref'] === 'string') return payload['ref'];
  if (event === 'pull_request') {
    const { number } = payload;
    return Number.isSafeInteger(number) ? `refs/pull/${String(number)}/merge` : snapshot.ref;
  }
  if (event === 'pull_request_target') {
    return `refs/heads/${baseOf(payload['pull_request']) ?? snapshot.defaultBranch}`;
  }
  return snapshot.ref;
}

function baseOf(pullRequest: unknown): string | undefined {
  const { base } = (pullRequest ?? {}) as { base?: { ref?: unknown } | null };
  const ref = base?.ref;
  return typeof ref === 'string' && ref !== '' ? ref : undefined;
}

function basePayload(
  event: string,
  snapshot: Snapshot,
  inputs: Record<string, string>,
): Record<string, unknown> {
  const [owner = '', name = ''] = snapshot.repository.split('/');
  const sender = { login: snapshot.actor, type: 'User' };
  const branch = snapshot.ref.replace(/^refs\/(heads|tags)\//, '');
  const repository = {
    name,
    full_name: snapshot.repository,
    owner: { login: owner, name: owner },
    private: true,
    fork: false,
    default_branch: snapshot.defaultBranch,
  };
  const common = { repository, sender };
  switch (event) {
    case 'push': {
      const commit = {
        id: snapshot.sha,
        message: snapshot.message,
        author: snapshot.author,
        committer: snapshot.author,
        distinct: true,
      };
      return {
        ...common,
        ref: snapshot.ref,
        before: snapshot.before,
        after: snapshot.sha,
        created: false,
        deleted: false,
        forced: false,
        base_ref: null,
        pusher: { name: snapshot.actor },
        head_commit: commit,
        commits: [commit],
      };
    }
    case 'pull_request':
    case 'pull_request_target': {
      const side = { ref: branch, sha: snapshot.sha, repo: repository };
      return {
        ...common,
        action: 'synchronize',
        number: 1,
        pull_request: {
          number: 1,
          title: snapshot.message.split('\n')[0],
          state: 'open',
          draft: false,
          merged: false,
          head: side,
          base: { ...side, ref: snapshot.defaultBranch, sha: snapshot.before },
          user: sender,
        },
      };
    }
    case 'workflow_dispatch':
      return { ...common, ref: snapshot.ref, inputs };
    default:
      return common;
  }
}
