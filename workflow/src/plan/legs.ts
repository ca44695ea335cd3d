/**
 * A planned job to its legs: one, or one a combination of its matrix, each with its name, its
 * labels and its strategy context.
 */
import type { Json, JsonObject, Position, Template } from '@onejob/protocol';
import { MATRIX_JOBS } from '@onejob/protocol/limits';
import { PlanError } from '../error.ts';
import { evaluateTemplate, EvaluationError, toText } from '../evaluate/index.ts';
import { isObject, isPrimitive } from '../evaluate/values.ts';
import { JOB_NAME_CHARACTERS } from '../limits.ts';
import type { PlannedJob } from '../model.ts';
import { quoted } from '../quote.ts';
import { readsContext } from '../some-node.ts';
import { entryOf } from '../template-entry.ts';
import { type ContainerPlanner, containersOf, type LegContainers } from './containers.ts';
import { withEnvironment } from './environment.ts';
import { expandMatrix, MatrixError, type MatrixLeg, MatrixSizeError } from './matrix.ts';
import { evaluationScope, type PlanScope } from './scope.ts';

export type JobLeg = {
  /** Place among the legs of the job, from 0. */
  index: number;
  total: number;
  /** null without a matrix, and where all of it is excluded. */
  matrix: Json;
  /** `test (20, linux)`. */
  name: string;
  /** The `strategy` context: fail-fast, job-index, job-total, max-parallel. */
  strategy: JsonObject;
  /** Labels; a runner group is one too, `group:big`, which the hosts of the group have. */
  runsOn: string[];
  failFast: boolean;
  /** null: as many as there are hosts for. */
  maxParallel: number | null;
  continueOnError: boolean;
  /** Name of what it deploys to; null: nothing. */
  environment: string | null;
  containers: LegContainers;
};

const GROUP_LABEL = 'group:';

/** Evaluates keys of one job; what goes wrong is a PlanError at the key's place. */
class JobPlanner {
  private readonly job: PlannedJob;
  private readonly scope: PlanScope;

  constructor(job: PlannedJob, scope: PlanScope) {
    this.job = job;
    this.scope = scope;
  }

  fail(key: string, message: string, at: Position = this.job.places[key] ?? this.job.at): never {
    const prefix = `Error when evaluating '${key}' for job '${this.job.key}'. `;
    throw new PlanError([{ file: this.job.file, ...at, message: prefix + message }]);
  }

  evaluate(key: string, template: Template, leg: Record<string, Json> = {}): Json {
    try {
      const sees = evaluationScope(this.scope, leg);
      return evaluateTemplate(template, withEnvironment(template, sees, this.job, this.scope));
    } catch (error) {
      if (error instanceof EvaluationError) return this.fail(key, error.message, error.at);
      throw error;
    }
  }

  boolean(key: string, value: Json | undefined, fallback: boolean): boolean {
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'boolean') return value;
    return this.fail(
      key,
      `Unexpected value '${quoted(toText(value))}': true or false was expected`,
    );
  }

  maxParallel(value: Json | undefined): number | null {
    if (value === undefined || value === null) return null;
    const number = typeof value === 'number' ? Math.trunc(value) : NaN;
    if (!Number.isFinite(number)) {
      return this.fail('strategy', `Unexpected 'max-parallel': a number was expected`);
    }
    return number > 0 ? number : null;
  }

  /** null: one, without a matrix; also where every combination is excluded (EvaluateStrategy of GitHub). */
  legs(strategy: JsonObject): MatrixLeg[] | null {
    const { matrix } = strategy;
    if (matrix === undefined || matrix === null) return null;
    if (!isObject(matrix)) return this.fail('strategy', 'The matrix must be a mapping');
    try {
      const legs = expandMatrix(matrix, this.scope.budget);
      return legs.length > 0 ? legs : null;
    } catch (error) {
      if (error instanceof MatrixSizeError) return this.failBySize(error);
      if (error instanceof MatrixError || error instanceof EvaluationError) {
        return this.fail('strategy', error.message);
      }
      throw error;
    }
  }

  forContainers(key: 'container' | 'services', contexts: Record<string, Json>): ContainerPlanner {
    return {
      evaluate: (template) => this.evaluate(key, template, contexts),
      fail: (message) => this.fail(key, message),
    };
  }

  /** GitHub's sentence and place: where what `strategy` says begins. */
  private failBySize({ configurations }: MatrixSizeError): never {
    const { file, key, strategyAt } = this.job;
    const message = `Strategy for job '${key}' produced ${configurations} configurations which exceeds the maximum of ${MATRIX_JOBS} configurations`;
    throw new PlanError([{ file, ...strategyAt, message }]);
  }

  labels(contexts: Record<string, Json>): string[] {
    const value = this.evaluate('runs-on', this.job.runsOn, contexts);
    const { group, labels: given } = isObject(value) ? value : { labels: value };
    const text = (label: Json): string => {
      if (typeof label !== 'object' && label !== '') return toText(label);
      return this.fail('runs-on', 'a label, or a list of labels, was expected');
    };
    const groups = (group ?? null) === null ? [] : [`${GROUP_LABEL}${text(group ?? null)}`];
    const isGroupAlone = groups.length > 0 && (given ?? null) === null;
    const labels = isGroupAlone ? [] : (Array.isArray(given) ? given : [given ?? '']).map(text);
    const all = [...groups, ...labels];
    if (all.length === 0) this.fail('runs-on', 'at least one label was expected');
    return all;
  }
}

/** What Gitea writes into a task, which is one leg of many. GitHub's schema has no such keys. */
function numberIn(strategy: Template, key: string): number | undefined {
  const value = entryOf(strategy, key);
  return typeof value === 'number' ? value : undefined;
}

/** What a job deploys to: the name alone, as the address is known at the job's end. */
function environmentOf(
  planner: JobPlanner,
  job: PlannedJob,
  contexts: Record<string, Json>,
): string | null {
  const name = entryOf(job.environment, 'name') ?? job.environment;
  const value = planner.evaluate('environment', name, contexts) ?? '';
  if (!isPrimitive(value)) planner.fail('environment', 'a name was expected');
  return toText(value) === '' ? null : toText(value);
}

/** A name without expressions is followed by the leg's values, as GitHub does it. */
function nameOf(
  planner: JobPlanner,
  job: PlannedJob,
  leg: MatrixLeg | undefined,
  contexts: Record<string, Json>,
): string {
  if (job.name !== null && typeof job.name === 'object') {
    const name = toText(planner.evaluate('name', job.name, contexts));
    if (name !== '') return name;
  }
  const base = job.name === null || typeof job.name === 'object' ? '' : toText(job.name);
  const segments = leg?.segments ?? [];
  const suffix = segments.length > 0 ? ` (${segments.join(', ')})` : '';
  const name = (base === '' ? job.key : base) + suffix;
  return name.length > JOB_NAME_CHARACTERS ? `${name.slice(0, JOB_NAME_CHARACTERS - 3)}...` : name;
}

/** Which legs are wanted. */
export type LegChoice = {
  /** By values of the matrix: see `legMatches`. */
  matrix: Record<string, string[]>;
  /** More are not evaluated. */
  atMost: number;
};

/**
 * All legs of a job. Legs that depend on `needs` are only right once those jobs have ended
 * (`matrixReads`).
 * @throws PlanError when what the expressions evaluate to is no plan: more than 256 legs, a matrix
 *   that is no mapping of lists, labels that are no labels
 */
export function expandJob(job: PlannedJob, scope: PlanScope): JobLeg[] {
  return expandSome(job, scope, { matrix: {}, atMost: Infinity }) ?? [];
}

/** The legs that are wanted; undefined: they are more than `atMost`. Else as `expandJob`. */
export function expandSome(
  job: PlannedJob,
  scope: PlanScope,
  { matrix: chosen, atMost }: LegChoice,
): JobLeg[] | undefined {
  const planner = new JobPlanner(job, scope);
  const strategy = planner.evaluate('strategy', job.strategy) ?? {};
  if (!isObject(strategy)) return planner.fail('strategy', 'a mapping was expected');
  const legs = planner.legs(strategy);
  const failFast = planner.boolean('strategy', strategy['fail-fast'], true);
  const maxParallel = planner.maxParallel(strategy['max-parallel']);
  const total = legs?.length ?? 1;
  const wanted = Array.from({ length: total }, (_, index) => ({
    index,
    leg: legs?.[index],
  })).filter(({ leg }) => legMatches({ matrix: leg?.matrix ?? null }, chosen));
  if (wanted.length > atMost) return undefined;
  return wanted.map(({ index, leg }) => {
    const context: JsonObject = {
      'fail-fast': failFast,
      'job-index': numberIn(job.strategy, 'job-index') ?? index,
      'job-total': numberIn(job.strategy, 'job-total') ?? total,
      'max-parallel': legs === null ? 1 : (maxParallel ?? total),
    };
    const matrix = leg?.matrix ?? null;
    const contexts = { strategy: context, matrix };
    const goesOn = planner.evaluate('continue-on-error', job.continueOnError, contexts);
    return {
      index,
      total,
      matrix,
      name: nameOf(planner, job, leg, contexts),
      strategy: context,
      runsOn: job.call === null ? planner.labels(contexts) : [],
      failFast,
      maxParallel,
      continueOnError: planner.boolean('continue-on-error', goesOn, false),
      environment: environmentOf(planner, job, contexts),
      containers: containersOf(job, {
        container: planner.forContainers('container', contexts),
        services: planner.forContainers('services', contexts),
      }),
    };
  });
}

/** Whether the legs, their names or what they run on read a context, so that they wait for it. */
export function matrixReads(job: PlannedJob, context: 'needs' | 'inputs'): boolean {
  const { strategy, name, runsOn, continueOnError, container, services } = job;
  const read = [strategy, name, runsOn, continueOnError, container, services];
  const env = read.some((template) => readsContext(template, 'env')) ? [job.env] : [];
  return [...read, ...env].some((template) => readsContext(template, context));
}

/** A leg's values as one chooses them by: text, JSON for lists and mappings. Empty without a matrix. */
export function matrixTexts({ matrix }: Pick<JobLeg, 'matrix'>): Map<string, string> {
  if (matrix === null || !isObject(matrix)) return new Map();
  return new Map(
    Object.entries(matrix).map(([key, value]) => [
      key,
      typeof value === 'object' && value !== null ? JSON.stringify(value) : toText(value),
    ]),
  );
}

/**
 * Whether a leg is among those asked for (`--matrix os:linux`). A key the leg does not have says
 * nothing about it.
 */
export function legMatches(leg: Pick<JobLeg, 'matrix'>, chosen: Record<string, string[]>): boolean {
  const texts = matrixTexts(leg);
  return Object.entries(chosen).every(([key, values]) => {
    const text = texts.get(key);
    return text === undefined || values.includes(text);
  });
}
