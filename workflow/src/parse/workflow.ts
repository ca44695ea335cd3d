/**
 * A workflow file's text to a Workflow, or to what is wrong with it.
 *
 *     text -> YAML (bounded) -> token tree (GitHub's schema) -> checks across jobs -> Workflow
 *
 * Promises: never throws, never hangs, whatever the text; every problem names its place and is said
 * as GitHub says it; what is returned is JSON.
 */
import { convertOn } from '@actions/workflow-parser/model/converter/events';
import { handleTemplateTokenErrors } from '@actions/workflow-parser/model/converter/handle-errors';
import { convertJob } from '@actions/workflow-parser/model/converter/job';
import type { WorkflowJob } from '@actions/workflow-parser/model/workflow-template';
import { readTemplate } from '@actions/workflow-parser/templates/template-reader';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { isSequence } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { Problem } from '@onejob/protocol';
import { JOBS_PER_RUN, WORKFLOW_FILE_CHARACTERS } from '@onejob/protocol/limits';
import { LineCounter } from 'yaml';
import { STEPS_PER_JOB } from '../limits.ts';
import { foldCase } from '../evaluate/values.ts';
import type { PlannedJob, Workflow } from '../model.ts';
import { oversizeProblem } from '../oversize.ts';
import { TOO_MANY_JOBS } from '../call/tree.ts';
import { checkConcurrency } from './concurrency.ts';
import { jobForConverter, triggersForConverter } from './converter-view.ts';
import { type Dialect, schemaOf } from './dialect.ts';
import { egressEntry } from './egress.ts';
import { readDefaults, readJob } from './job.ts';
import { type Entry, entriesOf } from './mapping.ts';
import { checkNeeds } from './needs.ts';
import { Problems } from './problems.ts';
import { withoutQuotes } from './quoted-values.ts';
import { readYaml, withoutByteOrderMark } from './read-yaml.ts';
import { workflowSchema } from './schema.ts';
import { TemplateReader } from './template.ts';
import { readTriggers } from './triggers.ts';
import { warningsOf } from './warnings.ts';
import { YamlReader } from './yaml-reader.ts';

const ROOT = 'workflow-root-strict';

export type ParseResult =
  | { ok: true; workflow: Workflow; warnings: Problem[] }
  | { ok: false; problems: Problem[] };

/** Counts that the checks below, which compare jobs with jobs, rely on. */
function withinLimits(problems: Problems, jobs: Map<string, Entry>): boolean {
  let within = true;
  const refuse = (token: TemplateToken, message: string) => {
    problems.add(problems.at(token), message);
    within = false;
  };
  for (const [key, { key: keyToken, value }] of jobs) {
    const steps = entriesOf(value).get('steps')?.value;
    if (steps !== undefined && isSequence(steps) && steps.count > STEPS_PER_JOB) {
      refuse(keyToken, `Job '${key}' has ${steps.count} steps; at most ${STEPS_PER_JOB} can run`);
    }
  }
  const last = [...jobs.values()].at(JOBS_PER_RUN);
  if (last !== undefined) {
    refuse(last.key, TOO_MANY_JOBS);
  }
  return within;
}

/** Checks across the file: events, cron, ids, conditions, needs. Says what it finds into problems. */
function check(
  problems: Problems,
  root: TemplateToken,
  entries: Map<string, Entry>,
): WorkflowJob[] {
  const on = entries.get('on')?.value;
  if (on !== undefined && problems.dialect === 'github') {
    handleTemplateTokenErrors(root, problems, {}, () =>
      convertOn(problems, triggersForConverter(on)),
    );
  }
  checkConcurrency(problems, entries.get('concurrency')?.value);
  const jobs = entries.get('jobs')?.value;
  if (jobs === undefined || !withinLimits(problems, entriesOf(jobs))) return [];
  const converted = convertEach(problems, jobs);
  refuseSnapshots(problems, jobs);
  for (const { value } of entriesOf(jobs).values()) {
    checkConcurrency(problems, entriesOf(value).get('concurrency')?.value);
  }
  checkNeeds(problems, jobs, converted);
  return converted;
}

/** Jobs one by one; one that cannot be converted has said so into problems. */
function convertEach(problems: Problems, jobs: TemplateToken): WorkflowJob[] {
  return Array.from(entriesOf(jobs).values(), ({ key, value }) =>
    handleTemplateTokenErrors<WorkflowJob | undefined>(jobs, problems, undefined, () =>
      convertJob(
        problems,
        key.assertString('job name'),
        jobForConverter(value.assertMapping('job')),
      ),
    ),
  ).filter((job) => job !== undefined);
}

/** Images are made by GitHub's own runners only: its sentence where they are not. */
function refuseSnapshots(problems: Problems, jobs: TemplateToken): void {
  for (const { value } of entriesOf(jobs).values()) {
    const key = entriesOf(value).get('snapshot')?.key;
    if (key !== undefined) problems.add(problems.at(key), `The key 'snapshot' is not allowed`);
  }
}

/** GitHub lists such jobs in one sentence. */
function refuseEmptyJobs(problems: Problems, jobs: PlannedJob[]): void {
  const empty = jobs.filter((job) => job.steps.length === 0 && job.call === null);
  const [first] = empty;
  if (first === undefined) return;
  const keys = empty.map((job) => job.key).join(', ');
  problems.add(
    first.at,
    `No steps defined in \`steps\` and no workflow called in \`uses\` for the following jobs: ${keys}`,
  );
}

function stepIds(job: WorkflowJob | undefined): string[] {
  return job?.type === 'job' ? job.steps.map((step) => step.id) : [];
}

/** What is wrong with the `on` of a task was for its forge to say, which has started it. */
const triggerReader = (reader: TemplateReader): TemplateReader =>
  reader.problems.dialect === 'github' ? reader : new TemplateReader(reader.problems.unheard());

function read(file: string, problems: Problems, root: TemplateToken): Workflow | null {
  const entries = entriesOf(root);
  const checked = check(problems, root, entries);
  if (problems.any) return null;
  const reader = new TemplateReader(problems);
  const value = (key: string) => entries.get(key)?.value;
  const name = reader.read(value('name'));
  const keyOf = new Map([...entriesOf(value('jobs')).keys()].map((key) => [foldCase(key), key]));
  const jobs = Array.from(entriesOf(value('jobs')), ([key, entry], i) =>
    readJob(reader, { file, key, entry, stepIds: stepIds(checked[i]), keyOf }),
  );
  if (!problems.any) refuseEmptyJobs(problems, jobs);
  const workflow: Workflow = {
    file,
    name: typeof name === 'string' && name !== '' ? name : file,
    runName: reader.read(value('run-name')),
    triggers: readTriggers(triggerReader(reader), value('on')),
    triggersAt: problems.at(value('on')),
    env: reader.read(value('env')),
    ...egressEntry(problems, value('env')),
    defaults: readDefaults(reader, value('defaults')),
    permissions: reader.read(value('permissions')),
    concurrency: reader.read(value('concurrency')),
    jobs,
  };
  return problems.any ? null : workflow;
}

/**
 * @param source.file path in the repository: it names the workflow and every problem
 * @param source.dialect what the file is written in; GitHub's, unless it is declared to be another
 * @returns problems in the order of the file, at most ten and a last one that counts the rest
 */
export function parseWorkflow(source: {
  file: string;
  text: string;
  dialect?: Dialect;
}): ParseResult {
  const { dialect = 'github', file } = source;
  if (source.text.length > WORKFLOW_FILE_CHARACTERS) {
    return { ok: false, problems: [oversizeProblem(file)] };
  }
  const text = withoutByteOrderMark(source.text);
  const lines = new LineCounter();
  const schema = schemaOf(dialect, workflowSchema);
  const problems = new Problems({ file, text, lines, schema, dialect });
  const document = readYaml(problems, 'The workflow file is empty');
  if (document === null) return { ok: false, problems: problems.list() };
  const fileId = problems.getFileId(file);
  const tree = readTemplate(problems, ROOT, new YamlReader(fileId, document, lines), fileId);
  const root = tree === undefined || dialect === 'github' ? tree : withoutQuotes(tree);
  const workflow = problems.any || root === undefined ? null : read(file, problems, root);
  if (workflow === null) return { ok: false, problems: problems.list() };
  return { ok: true, workflow, warnings: warningsOf(workflow) };
}
