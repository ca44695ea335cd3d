/**
 * What `jobs.<id>.uses` names: a workflow file of the same commit, or one of a repository at a ref.
 * Source: "jobs.<job_id>.uses" of GitHub's workflow syntax; the sentences are those GitHub shows.
 */
import { quoted } from '../quote.ts';

export type CallReference =
  | { kind: 'local'; path: string }
  | { kind: 'repository'; repository: string; path: string; ref: string };

const FOLDER = '.github/workflows/';
const WRONG = 'invalid value workflow reference: ';
const FULL_SHA = /^[0-9a-f]{40}$/i;

/** A commit by its whole name: nothing else may stand for it. */
export const isFullSha = (ref: string): boolean => FULL_SHA.test(ref);

/** What is wrong with the path of a workflow file; undefined: nothing. */
function wrongPath(path: string): string | undefined {
  if (!path.startsWith(FOLDER)) {
    return `references to workflows must be rooted in '.github/workflows'`;
  }
  const name = path.slice(FOLDER.length);
  if (name.includes('/')) {
    return 'workflows must be defined at the top level of the .github/workflows/ directory';
  }
  if (!/^.+\.ya?ml$/.test(name)) return `a file that ends in .yml or .yaml was expected`;
  return undefined;
}

export function parseCallReference(uses: string): CallReference | { problem: string } {
  const wrong = (why: string) => ({ problem: `${WRONG}${why}. Actual '${quoted(uses)}'` });
  if (uses.startsWith('./')) {
    if (uses.includes('@')) return wrong('cannot specify version when calling local workflows');
    const path = uses.slice('./'.length);
    const why = wrongPath(path);
    return why === undefined ? { kind: 'local', path } : wrong(why);
  }
  const at = uses.indexOf('@');
  const [owner = '', repository = '', ...rest] = (at < 0 ? uses : uses.slice(0, at)).split('/');
  if (owner === '' || repository === '' || rest.length === 0) {
    return wrong(
      `references to workflows must be prefixed with format 'owner/repository/' or './' for local workflows`,
    );
  }
  const path = rest.join('/');
  const ref = at < 0 ? '' : uses.slice(at + 1);
  const why = ref === '' ? 'no version specified' : wrongPath(path);
  if (why !== undefined) return wrong(why);
  return { kind: 'repository', repository: `${owner}/${repository}`, path, ref };
}
