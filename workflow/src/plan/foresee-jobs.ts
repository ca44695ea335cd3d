/**
 * Which jobs of a triggered workflow would run, before anything has: each job's `if` with what is
 * known, in the order of `needs`, because a job that is skipped decides about those that need it.
 * Nobody is taken to cancel the run.
 */
import type { ExprNode, Json, JsonObject } from '@onejob/protocol';
import { Budget } from '../evaluate/budget.ts';
import { EvaluationError } from '../evaluate/index.ts';
import type { PlannedJob } from '../model.ts';
import { quoted } from '../quote.ts';
import { expressionText } from './expression-text.ts';
import { foresee, type ForeseeScope, truthOf } from './foresee.ts';

/** `fails`: its condition cannot be evaluated. `why` is a sentence without its subject. */
export type Verdict = { state: 'runs' | 'skipped' | 'open' | 'fails'; why: string };

export type ForeseeInput = {
  github: JsonObject;
  vars: Record<string, string>;
  /** null: not known, as those of a called workflow. */
  inputs: JsonObject | null;
};

type Known = { verdicts: Map<string, Verdict>; ancestors: Map<string, Set<string>> };

const SKIPPED: JsonObject = { result: 'skipped', outputs: {} };
const listed = (names: Iterable<string>): string => [...names].join(', ');

export class JobForesight {
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly #known: Known = { verdicts: new Map(), ancestors: new Map() };
  readonly #input: ForeseeInput;
  readonly #budget: Budget;

  /**
   * @param jobs with every job they need; needs make no circle
   * @param budget of everything that is foreseen together
   */
  constructor(jobs: readonly PlannedJob[], input: ForeseeInput, budget = new Budget()) {
    this.#input = input;
    this.#budget = budget;
    this.verdicts = this.#known.verdicts;
    let waiting = [...jobs];
    while (waiting.length > 0) {
      const rest = waiting.filter((job) => !this.#decide(job));
      if (rest.length === waiting.length) throw new Error('jobs need each other in a circle');
      waiting = rest;
    }
  }

  /** What expressions outside of jobs may read now. */
  get workflowScope(): ForeseeScope {
    return { contexts: { ...this.#input }, functions: {}, budget: this.#budget };
  }

  /** What expressions of the job may read now; `more` are contexts of a leg. */
  scopeOf(job: PlannedJob, more: Record<string, Json> = {}): ForeseeScope {
    const { github, vars, inputs } = this.#input;
    const skipped = job.needs.filter((key) => this.#isSkipped(key));
    const needs: JsonObject = Object.fromEntries(skipped.map((key) => [key, SKIPPED]));
    const known: Record<string, Json> = inputs === null ? {} : { inputs };
    const contexts = { github: { ...github, job: job.key }, vars, ...known, needs, ...more };
    return { contexts, functions: {}, budget: this.#budget };
  }

  /** Which way a condition goes: undefined while it is open, or cannot be evaluated. */
  wouldRun(condition: ExprNode, scope: ForeseeScope): boolean | undefined {
    try {
      return truthOf(foresee(condition, scope));
    } catch (error) {
      if (error instanceof EvaluationError) return undefined;
      throw error;
    }
  }

  #isSkipped(key: string): boolean {
    return this.#known.verdicts.get(key)?.state === 'skipped';
  }

  /** False: a job it needs is not decided yet. */
  #decide(job: PlannedJob): boolean {
    const { verdicts, ancestors } = this.#known;
    if (!job.needs.every((key) => verdicts.has(key))) return false;
    const before = new Set(job.needs);
    for (const key of job.needs) for (const one of ancestors.get(key) ?? []) before.add(one);
    ancestors.set(job.key, before);
    verdicts.set(job.key, this.#verdictOf(job, before));
    return true;
  }

  #verdictOf(job: PlannedJob, before: ReadonlySet<string>): Verdict {
    const scope = { ...this.scopeOf(job), functions: this.#statusOf(before) };
    const written = quoted(job.conditionSource);
    try {
      const foreseen = foresee(job.condition, scope);
      const truthy = truthOf(foreseen);
      if (truthy === false) return { state: 'skipped', why: this.#whySkipped(job, before) };
      if (truthy === true) return { state: 'runs', why: whyRuns(job) };
      if (this.#waitsForSuccess(job, scope)) {
        return {
          state: 'open',
          why: `if ${listed(job.needs)} ${plural(job, 'succeeds', 'succeed')}`,
        };
      }
      const when =
        job.needs.length === 0
          ? 'when the run begins'
          : `when ${listed(job.needs)} ${plural(job, 'has', 'have')} ended`;
      return { state: 'open', why: `decided ${when}: ${written}` };
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      return { state: 'fails', why: `\`if\` cannot be evaluated: ${error.message}` };
    }
  }

  /** `success()` and `failure()` look at every job before this one. */
  #statusOf(before: ReadonlySet<string>): Record<string, () => Json> {
    const skipped = [...before].filter((key) => this.#isSkipped(key)).length;
    const known: Record<string, () => Json> = { always: () => true, cancelled: () => false };
    if (skipped > 0) known['success'] = () => false;
    if (before.size === 0) known['success'] = () => true;
    if (skipped === before.size) known['failure'] = () => false;
    return known;
  }

  /** Is success of the needed jobs all that is still open? */
  #waitsForSuccess(job: PlannedJob, scope: ForeseeScope): boolean {
    if (job.needs.length === 0) return false;
    const functions = { ...scope.functions, success: () => true };
    return this.wouldRun(job.condition, { ...scope, functions }) === true;
  }

  #whySkipped(job: PlannedJob, before: ReadonlySet<string>): string {
    const skipped = [...before].filter((key) => this.#isSkipped(key));
    const own = ownCondition(job.condition);
    const scope = { ...this.scopeOf(job), functions: this.#statusOf(new Set()) };
    const isOwn = own !== undefined && this.wouldRun(own, scope) === false;
    if (skipped.length > 0 && !isOwn) return `it needs ${listed(skipped)}, which would be skipped`;
    return own === undefined ? '`if` is false' : `\`if\` is false: ${quoted(expressionText(own))}`;
  }
}

const plural = (job: PlannedJob, one: string, several: string): string =>
  job.needs.length === 1 ? one : several;

const isSuccess = (node: ExprNode): boolean => node.kind === 'call' && node.name === 'success';

/** Without the `success() &&` that nobody wrote; undefined: nothing was written. */
function ownCondition(node: ExprNode): ExprNode | undefined {
  if (isSuccess(node)) return undefined;
  const [first, own, ...more] = node.kind === 'and' ? node.all : [];
  const isImplicit = first !== undefined && isSuccess(first) && more.length === 0;
  return isImplicit && own !== undefined ? own : node;
}

function whyRuns(job: PlannedJob): string {
  const own = ownCondition(job.condition);
  const after = job.needs.length === 0 ? [] : [`after ${listed(job.needs)}`];
  const condition = own === undefined ? [] : [`\`if\` is true: ${quoted(expressionText(own))}`];
  return [...after, ...condition].join(', ');
}
