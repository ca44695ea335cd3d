/**
 * Every expression of a workflow with the place it stands in and what is around it. A text with
 * several expressions is several sites, each with its own place.
 */
import type { CompiledStep, ExprNode, MapEntry, Position, Template } from '@onejob/protocol';
import type { PlannedJob, Workflow } from '../model.ts';
import type { Places } from './places.ts';

export type Site = {
  /** The key its value has in the job, step or workflow: `run`, `env`, `with`, `if`, `outputs`. */
  key: string;
  /** The name inside of a mapping such as `env` or `with`, in lower case; else ''. */
  entry: string;
  expr: ExprNode;
  at: Position;
  /** There is other text around it, so its value becomes text. */
  isInText: boolean;
  job: PlannedJob | null;
  step: CompiledStep | null;
};

type Around = Pick<Site, 'key' | 'job' | 'step'>;

const STEP_KEYS = {
  name: 'name',
  env: 'env',
  continueOnError: 'continue-on-error',
  timeoutMinutes: 'timeout-minutes',
} as const;
const RUN_KEYS = {
  script: 'run',
  shell: 'shell',
  workingDirectory: 'working-directory',
} as const;
const JOB_KEYS = {
  name: 'name',
  runsOn: 'runs-on',
  strategy: 'strategy',
  env: 'env',
  outputs: 'outputs',
  timeoutMinutes: 'timeout-minutes',
  continueOnError: 'continue-on-error',
  container: 'container',
  services: 'services',
  environment: 'environment',
  concurrency: 'concurrency',
} as const;
const WORKFLOW_KEYS = { runName: 'run-name', env: 'env', concurrency: 'concurrency' } as const;

class Collector {
  readonly sites: Site[] = [];
  readonly #places: Places;

  constructor(places: Places) {
    this.#places = places;
  }

  workflow(workflow: Workflow): void {
    const around = { job: null, step: null };
    for (const [field, key] of entriesOf(WORKFLOW_KEYS)) {
      this.template(workflow[field], { ...around, key });
    }
    this.defaults(workflow.defaults, around);
    for (const { call } of workflow.triggers) {
      for (const { default: value } of call?.inputs ?? []) {
        this.template(value, { ...around, key: 'on' });
      }
      for (const { value } of call?.outputs ?? []) this.template(value, { ...around, key: 'on' });
    }
    for (const job of workflow.jobs) this.job(job);
  }

  job(job: PlannedJob): void {
    const around = { job, step: null };
    this.condition(job.condition, job.conditionAt, around);
    for (const [field, key] of entriesOf(JOB_KEYS)) this.template(job[field], { ...around, key });
    this.defaults(job.defaults, around);
    const passed = job.call?.secrets ?? 'inherit';
    const arguments_ = [
      ['with', job.call?.with ?? []],
      ['secrets', passed === 'inherit' ? [] : passed],
    ] as const;
    for (const [key, values] of arguments_) {
      for (const { name, value } of values) {
        this.template(value, { ...around, key }, name.toLowerCase());
      }
    }
    for (const step of job.steps) this.step(step, job);
  }

  step(step: CompiledStep, job: PlannedJob): void {
    const around = { job, step };
    const at = this.#places.at(['jobs', job.key, 'steps', step.index, 'if']);
    this.condition(step.condition, at, around);
    for (const [field, key] of entriesOf(STEP_KEYS)) this.template(step[field], { ...around, key });
    if (step.kind === 'uses') return this.template(step.with, { ...around, key: 'with' });
    for (const [field, key] of entriesOf(RUN_KEYS)) this.template(step[field], { ...around, key });
  }

  defaults(defaults: PlannedJob['defaults'], around: Omit<Around, 'key'>): void {
    this.template(defaults.shell, { ...around, key: 'shell' });
    this.template(defaults.workingDirectory, { ...around, key: 'working-directory' });
  }

  condition(expr: ExprNode, at: Position, around: Omit<Around, 'key'>): void {
    this.sites.push({ ...around, key: 'if', entry: '', expr, at, isInText: false });
  }

  template(template: Template, around: Around, entry = ''): void {
    if (template === null || typeof template !== 'object') return;
    if ('seq' in template) {
      for (const item of template.seq) this.template(item, around, entry);
    } else if ('map' in template) {
      for (const one of template.map) this.entry(one, around, entry);
    } else {
      this.expression(template, around, entry);
    }
  }

  entry(one: MapEntry, around: Around, outer: string): void {
    if ('insert' in one) return this.template(one.insert, around, outer);
    this.template(one.key, around, outer);
    const name = typeof one.key === 'string' ? one.key.toLowerCase() : '';
    this.template(one.value, around, outer === '' ? name : outer);
  }

  expression(
    { expr, source, at }: Extract<Template, { expr: ExprNode }>,
    around: Around,
    entry: string,
  ): void {
    const parts = partsOf(expr, source);
    if (parts === null) {
      this.sites.push({ ...around, entry, expr, at, isInText: false });
      return;
    }
    for (const [nth, part] of parts.entries()) {
      const place = nth === 0 ? at : this.#places.expression(at, nth);
      this.sites.push({ ...around, entry, expr: part, at: place, isInText: true });
    }
  }
}

/** The expressions in a text, which is parsed as one `format()`; null: one expression alone in its braces. */
function partsOf(expr: ExprNode, source: string): ExprNode[] | null {
  if (source.startsWith('${{') || expr.kind !== 'call' || expr.name !== 'format') return null;
  return expr.args.slice(1);
}

function entriesOf<Keys extends Record<string, string>>(keys: Keys): [keyof Keys, string][] {
  return Object.entries(keys);
}

export function sitesOf(workflow: Workflow, places: Places): Site[] {
  const collector = new Collector(places);
  collector.workflow(workflow);
  return collector.sites;
}
