/** Steps of a job to compiled steps: typed, with their ids, conditions and places. */
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import type { ActionReference, CompiledStep } from '@onejob/protocol';
import { type Entry, entriesOf } from './mapping.ts';
import type { TemplateReader } from './template.ts';

/** A full SHA may be written in capitals; from here on it is as git writes it. */
const canonicalRef = (ref: string): string =>
  /^[0-9a-f]{40}$/i.test(ref) ? ref.toLowerCase() : ref;

/** `owner/repo[/path]@ref`; null: not of that form. */
function splitReference(uses: string): { name: string; path: string; ref: string } | null {
  const at = uses.lastIndexOf('@');
  if (at < 1 || at === uses.length - 1) return null;
  const ref = canonicalRef(uses.slice(at + 1));
  const parts = uses
    .slice(0, at)
    .split(/[\\/]/)
    .filter((part) => part !== '');
  const [owner, repository, ...path] = parts;
  if (owner === undefined || repository === undefined) return null;
  return { name: `${owner}/${repository}`, path: path.join('/'), ref };
}

/** `https://host/owner/repo[/path]@ref`; null: not of that form. */
function splitUrl(uses: string): ActionReference | null {
  const match = /^(https?:\/\/[^/@]+)\/(.+)$/.exec(uses);
  const rest = match === null ? null : splitReference(match[2] ?? '');
  if (match === null || rest === null) return null;
  return { kind: 'url', url: `${match[1]}/${rest.name}`, path: rest.path, ref: rest.ref };
}

/** What `uses:` names; null: it names nothing. */
function parseReference(uses: string): ActionReference | null {
  if (uses.startsWith('docker://')) {
    const image = uses.slice('docker://'.length);
    return image === '' ? null : { kind: 'docker', image };
  }
  if (/^\.[\\/]/.test(uses)) return { kind: 'local', path: uses };
  if (/^https?:\/\//.test(uses)) return splitUrl(uses);
  const split = splitReference(uses);
  if (split === null) return null;
  const [owner = '', repository = ''] = split.name.split('/');
  return { kind: 'repository', owner, repository, path: split.path, ref: split.ref };
}

function readUses(reader: TemplateReader, entry: Entry): { uses: string; action: ActionReference } {
  const uses = entry.value.toString();
  const action = parseReference(uses);
  if (action === null) {
    reader.problems.add(
      reader.problems.at(entry.value),
      `Expected format {owner}/{repo}[/path]@{ref}. Actual '${uses}'`,
    );
  }
  return { uses, action: action ?? { kind: 'local', path: uses } };
}

/** @param id given in the file, or made as GitHub makes it: `__run`, `__run_2`, `__actions_checkout` */
export function readStep(
  reader: TemplateReader,
  token: TemplateToken,
  index: number,
  id: string,
): CompiledStep | null {
  const entries = entriesOf(token);
  const read = (key: string) => reader.read(entries.get(key)?.value);
  const base = {
    index,
    id,
    name: read('name'),
    at: reader.problems.at(token),
    condition: reader.condition(entries.get('if')?.value).node,
    env: read('env'),
    continueOnError: read('continue-on-error'),
    timeoutMinutes: read('timeout-minutes'),
  };
  const uses = entries.get('uses');
  if (uses !== undefined) {
    const at = reader.problems.at(uses.value);
    return { ...base, at, kind: 'uses', ...readUses(reader, uses), with: read('with') };
  }
  if (!entries.has('run')) {
    const other = [...entries.values()].at(-1)?.key ?? token;
    reader.problems.add(reader.problems.at(other), `Unexpected value '${other.toString()}'`);
    return null;
  }
  return {
    ...base,
    kind: 'run',
    script: read('run'),
    shell: read('shell'),
    workingDirectory: read('working-directory'),
  };
}
