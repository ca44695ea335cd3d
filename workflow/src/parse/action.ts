/**
 * The text of an `action.yml` to an ActionManifest, or to what is wrong with it.
 *
 * As lax as GitHub's runner: unknown keys are ignored, a name is not needed. The guest runner loads
 * this when a job first uses an action, and not before: it has the whole template reader in it.
 *
 * Promises: never throws, never hangs, whatever the text; every problem names its place.
 *
 * Source: "Metadata syntax for GitHub Actions", and the runner's own schema of the file.
 */
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';
import { readTemplate } from '@actions/workflow-parser/templates/template-reader';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { isSequence } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { CompiledStep, Problem } from '@onejob/protocol';
import { ACTION_FILE_BYTES } from '@onejob/protocol/limits';
import { LineCounter } from 'yaml';
import type { ActionInput, ActionManifest, ActionRuns, ActionScript } from '../action-model.ts';
import { STEPS_PER_JOB } from '../limits.ts';
import { parseExpression } from './expression.ts';
import { importSchema } from './import-schema.ts';
import { type Entry, entriesOf } from './mapping.ts';
import { expressionSentence, Problems } from './problems.ts';
import { readYaml, withoutByteOrderMark } from './read-yaml.ts';
import { readStep } from './steps.ts';
import { TemplateReader } from './template.ts';
import { YamlReader } from './yaml-reader.ts';

export type { ActionInput, ActionManifest, ActionRuns, ActionScript } from '../action-model.ts';

const ROOT = 'action-root';
const NODE = /^node(?:12|16|20|24)$/;
/** Of `pre-if` and `post-if`; GitHub's schema has them for its strict reading only. */
const SCRIPT_CONDITION = [
  ...['github', 'strategy', 'matrix', 'steps', 'job', 'runner', 'env', 'inputs', 'needs', 'vars'],
  ...['always(0,0)', 'success(0,0)', 'failure(0,0)', 'cancelled(0,0)', 'hashFiles(1,255)'],
];

export type ActionParseResult =
  | { ok: true; manifest: ActionManifest }
  | { ok: false; problems: Problem[] };

let schema: Promise<TemplateSchema> | undefined;

/** GitHub's schema of action files; loaded once. */
const actionSchema = (): Promise<TemplateSchema> =>
  (schema ??= importSchema(async () => {
    const module = await import('@actions/workflow-parser/actions/action-schema');
    return module.getActionSchema();
  }));

class ActionReader {
  private readonly problems: Problems;
  private readonly templates: TemplateReader;

  constructor(problems: Problems) {
    this.problems = problems;
    this.templates = new TemplateReader(problems);
  }

  read(file: string, root: TemplateToken): ActionManifest | null {
    const entries = entriesOf(root);
    const runs = this.runs(entries.get('runs'), root);
    const inputs = Array.from(entriesOf(entries.get('inputs')?.value), ([name, entry]) =>
      this.input(name, entry),
    );
    const outputs =
      runs?.kind === 'composite'
        ? Array.from(entriesOf(entries.get('outputs')?.value), ([name, { value }]) => ({
            name,
            value: this.templates.read(entriesOf(value).get('value')?.value),
          }))
        : [];
    const name = entries.get('name')?.value.toString() ?? '';
    return runs === null || this.problems.any ? null : { file, name, inputs, outputs, runs };
  }

  private input(name: string, { value }: Entry): ActionInput {
    const entries = entriesOf(value);
    const deprecation = entries.get('deprecationMessage')?.value.toString();
    return {
      name,
      default: this.templates.read(entries.get('default')?.value),
      deprecation: deprecation ?? null,
    };
  }

  private runs(entry: Entry | undefined, root: TemplateToken): ActionRuns | null {
    if (entry === undefined) return this.refuse(root, "Top level 'runs:' section is required");
    const entries = entriesOf(entry.value);
    const text = (key: string) => entries.get(key)?.value.toString() ?? '';
    const using = text('using').toLowerCase();
    if (using === 'composite') return this.composite(entry, entries.get('steps')?.value);
    if (using === 'docker') return { kind: 'docker' };
    if (using === '') {
      const needed = `'using' requires 'composite', 'docker', 'node12', 'node16', 'node20' or 'node24'`;
      return this.refuse(entry.key, `Missing 'using' value. ${needed}.`);
    }
    if (!NODE.test(using)) {
      const value = entries.get('using')?.value ?? entry.key;
      const known = `use 'docker', 'node12', 'node16', 'node20' or 'node24' instead`;
      return this.refuse(value, `'using: ${text('using')}' is not supported, ${known}.`);
    }
    const main = text('main');
    if (main === '') {
      const message = 'You are using a JavaScript Action but there is not an entry JavaScript file';
      return this.refuse(entry.key, `${message} provided in action.yml.`);
    }
    const pre = this.script(entries, 'pre');
    const post = this.script(entries, 'post');
    return { kind: 'node', using, main, pre, post };
  }

  private refuse(token: TemplateToken, message: string): null {
    this.problems.add(this.problems.at(token), message);
    return null;
  }

  /** Runs always where no condition is written; one that asks for no status asks for none. */
  private script(entries: Map<string, Entry>, key: 'pre' | 'post'): ActionScript | null {
    const file = entries.get(key)?.value.toString() ?? '';
    if (file === '') return null;
    const token = entries.get(`${key}-if`)?.value;
    const text = token?.toString() ?? 'always()';
    try {
      return { file, condition: parseExpression(text, SCRIPT_CONDITION) };
    } catch (error) {
      this.problems.add(this.problems.at(token), expressionSentence(error, text));
      return null;
    }
  }

  private composite(entry: Entry, token: TemplateToken | undefined): ActionRuns | null {
    if (token === undefined || !isSequence(token)) {
      const message = 'You are using a composite action but there are no steps provided';
      return this.refuse(entry.key, `${message} in action.yml.`);
    }
    if (token.count > STEPS_PER_JOB) {
      return this.refuse(
        token,
        `The action has ${token.count} steps; at most ${STEPS_PER_JOB} can run`,
      );
    }
    const ids = new Set<string>();
    const steps: CompiledStep[] = [];
    for (const [index, item] of Array.from(token).entries()) {
      const step = readStep(this.templates, item, index, this.id(item, ids));
      if (step !== null) steps.push(step);
    }
    return { kind: 'composite', steps };
  }

  /** As GitHub names steps: `__run`, `__run_2`, `__actions_checkout`, `__self`; own ids once. */
  private id(step: TemplateToken, taken: Set<string>): string {
    const entries = entriesOf(step);
    const own = entries.get('id')?.value;
    const uses = entries.get('uses')?.value.toString();
    const made = nameOfUses(uses);
    let id = own?.toString() ?? made;
    if (own !== undefined && taken.has(id.toLowerCase())) {
      this.refuse(
        own,
        `The identifier '${id}' may not be used more than once within the same scope.`,
      );
    }
    for (let nth = 2; taken.has(id.toLowerCase()); nth++) id = `${made}_${nth}`;
    taken.add(id.toLowerCase());
    return id;
  }
}

function nameOfUses(uses: string | undefined): string {
  if (uses === undefined) return '__run';
  if (/^\.[\\/]/.test(uses)) return '__self';
  return `__${uses.split('@')[0]!.replaceAll(/\W+/g, '_')}`;
}

/**
 * @param source.file how messages call the file
 * @returns problems in the order of the file, at most ten and a last one that counts the rest
 */
export async function parseAction(source: {
  file: string;
  text: string;
}): Promise<ActionParseResult> {
  const { file } = source;
  const bytes = new TextEncoder().encode(source.text).length;
  if (bytes > ACTION_FILE_BYTES) {
    const message = `The file has ${bytes} bytes; the maximum is ${ACTION_FILE_BYTES} (1 MiB)`;
    return { ok: false, problems: [{ file, line: 1, column: 1, message }] };
  }
  const lines = new LineCounter();
  const text = withoutByteOrderMark(source.text);
  const problems = new Problems({ file, text, lines, schema: await actionSchema() });
  const document = readYaml(problems, 'The action file is empty');
  if (document === null) return { ok: false, problems: problems.list() };
  const fileId = problems.getFileId(file);
  const root = readTemplate(problems, ROOT, new YamlReader(fileId, document, lines), fileId);
  if (root === undefined || problems.any) return { ok: false, problems: problems.list() };
  const manifest = new ActionReader(problems).read(file, root);
  return manifest === null ? { ok: false, problems: problems.list() } : { ok: true, manifest };
}
