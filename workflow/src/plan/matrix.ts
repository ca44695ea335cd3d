/**
 * Matrix to legs, as GitHub expands it: the cross product in the order of the keys, less what
 * `exclude` matches, with what `include` adds, and then the `include` entries that matched nothing.
 *
 * An entry of `exclude` or `include` matches when every leaf in it equals the same leaf of the leg
 * (GitHub's loose equality). In an `include` entry only the keys of the cross product match; the
 * others are added, and later entries overwrite what earlier ones added.
 *
 * Source: "Running variations of jobs in a workflow".
 */
import type { Json, JsonObject } from '@onejob/protocol';
import { MATRIX_JOBS } from '@onejob/protocol/limits';
import { foldCase, isEqual, isObject, lookUp, setKey, toText } from '../evaluate/values.ts';
import type { Budget } from '../evaluate/budget.ts';
import { MATRIX_KEYS, MATRIX_WORK } from '../limits.ts';

/** What is wrong with a matrix, for the place its caller knows. */
export class MatrixError extends Error {}

export type MatrixLeg = {
  matrix: JsonObject;
  /** Values that make up the leg's name: those of the product, or of an entry of its own. */
  segments: string[];
};

type Vector = { key: string; values: Json[] };
/** Keys of the product, folded: they are found without case, as every key of GitHub's is. */
type Keys = Set<string>;
type Include = { filter: JsonObject; extra: JsonObject; matched: boolean };

function sequence(value: Json | undefined, what: string): Json[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new MatrixError(`${what} must be a list`);
}

function mapping(value: Json, what: string): JsonObject {
  if (isObject(value)) return value;
  throw new MatrixError(`${what} must be a mapping`);
}

function vectorsOf(matrix: JsonObject): Vector[] {
  return Object.entries(matrix)
    .filter(([key]) => key !== 'include' && key !== 'exclude')
    .map(([key, value]) => {
      if (!Array.isArray(value)) throw new MatrixError(`Matrix vector '${key}' must be a list`);
      if (value.length === 0) {
        throw new MatrixError(`Matrix vector '${key}' does not contain any values`);
      }
      return { key, values: value };
    });
}

function excludesOf(matrix: JsonObject, known: Keys): JsonObject[] {
  return sequence(matrix['exclude'], 'Matrix exclude').map((item) => {
    const filter = mapping(item, 'A matrix exclude filter');
    const keys = Object.keys(filter);
    if (keys.length === 0) throw new MatrixError('Matrix exclude filter must not be empty');
    const unknown = keys.find((key) => !known.has(foldCase(key)));
    if (unknown !== undefined) {
      throw new MatrixError(
        `Matrix exclude key '${unknown}' does not match any key within the matrix`,
      );
    }
    return filter;
  });
}

function includesOf(matrix: JsonObject, known: Keys): Include[] {
  return sequence(matrix['include'], 'Matrix include').map((item) => {
    const entry = mapping(item, 'A matrix include entry');
    if (Object.keys(entry).length === 0) {
      throw new MatrixError('Matrix include mapping does not contain any values');
    }
    const include: Include = { filter: {}, extra: {}, matched: false };
    for (const [key, value] of Object.entries(entry)) {
      setKey(known.has(foldCase(key)) ? include.filter : include.extra, key, value);
    }
    return include;
  });
}

/** Of a budget of characters: a comparison takes about as long as searching so many. */
const COMPARISON_COST = 8;

/** Counts comparisons and copies, so that filters times places cannot run away. */
class Work {
  private readonly budget: Budget;
  private done = 0;

  constructor(budget: Budget) {
    this.budget = budget;
  }

  add(count: number): void {
    this.done += count;
    this.budget.spend(count * COMPARISON_COST);
    if (this.done > MATRIX_WORK) {
      throw new MatrixError(`The matrix takes more than ${MATRIX_WORK} comparisons to expand`);
    }
  }

  /** Whether every leaf of the filter equals the value's. A missing value counts as null. */
  matches(filter: Json, value: Json | undefined): boolean {
    this.add(1);
    if (isObject(filter)) {
      const object = value !== undefined && isObject(value) ? value : {};
      return Object.keys(filter).every((key) =>
        this.matches(filter[key] ?? null, lookUp(object, key, false)),
      );
    }
    if (Array.isArray(filter)) {
      const array = Array.isArray(value) ? value : [];
      return filter.every((leaf, i) => this.matches(leaf, array[i]));
    }
    return isEqual(value ?? null, filter);
  }
}

/** Texts of the leaves, in order: they name the leg. */
function leavesOf(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(leavesOf);
  if (isObject(value)) return Object.values(value).flatMap(leavesOf);
  const text = toText(value);
  return text === '' ? [] : [text];
}

function assertCount(count: number): void {
  if (count > MATRIX_JOBS) {
    throw new MatrixError(`The matrix makes more than ${MATRIX_JOBS} jobs, which is the maximum`);
  }
}

/** The leg at a place of the product: the last key turns fastest. */
function productAt(vectors: Vector[], place: number): JsonObject {
  const leg: JsonObject = {};
  let block = vectors.reduce((size, vector) => size * vector.values.length, 1);
  for (const { key, values } of vectors) {
    block /= values.length;
    setKey(leg, key, values[Math.floor(place / block) % values.length] ?? null);
  }
  return leg;
}

/** The legs of the product, with what include entries add; marks the entries that did. */
function productLegs(
  vectors: Vector[],
  excludes: JsonObject[],
  includes: Include[],
  work: Work,
): MatrixLeg[] {
  const legs: MatrixLeg[] = [];
  const size = vectors.reduce((product, vector) => product * vector.values.length, 1);
  for (let place = 0; vectors.length > 0 && place < size; place++) {
    work.add(vectors.length);
    const leg = productAt(vectors, place);
    if (excludes.some((filter) => work.matches(filter, leg))) continue;
    const segments = leavesOf(leg);
    const fitting = includes.filter((include) => work.matches(include.filter, leg));
    for (const include of fitting) {
      include.matched = true;
      for (const [key, value] of Object.entries(include.extra)) {
        work.add(1);
        setKey(leg, key, value);
      }
    }
    legs.push({ matrix: leg, segments });
    assertCount(legs.length);
  }
  return legs;
}

/**
 * @param matrix the evaluated `strategy.matrix`
 * @throws MatrixError, EvaluationError where the budget does not suffice
 */
export function expandMatrix(matrix: JsonObject, budget: Budget): MatrixLeg[] {
  const vectors = vectorsOf(matrix);
  if (vectors.length > MATRIX_KEYS) {
    throw new MatrixError(`The matrix has more than ${MATRIX_KEYS} keys`);
  }
  const known = new Set(vectors.map(({ key }) => foldCase(key)));
  const excludes = excludesOf(matrix, known);
  const includes = includesOf(matrix, known);
  if (vectors.length === 0 && includes.length === 0) {
    throw new MatrixError('Matrix must define at least one vector');
  }
  const legs = productLegs(vectors, excludes, includes, new Work(budget));
  for (const { matched, filter, extra } of includes) {
    if (matched) continue;
    const leg = { ...filter, ...extra };
    legs.push({ matrix: leg, segments: leavesOf(leg) });
    assertCount(legs.length);
  }
  return legs;
}
