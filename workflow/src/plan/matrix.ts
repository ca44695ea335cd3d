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

/** It has more legs than a job may have. */
export class MatrixSizeError extends Error {
  /** How many; `more than 256` where nobody can count them. */
  readonly configurations: string;

  constructor(configurations: string) {
    super(`The matrix makes ${configurations} configurations`);
    this.configurations = configurations;
  }
}

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
  /** Legs found so far. */
  legs = 0;

  constructor(budget: Budget) {
    this.budget = budget;
  }

  add(count: number): void {
    this.done += count;
    this.budget.spend(count * COMPARISON_COST);
    if (this.done <= MATRIX_WORK) return;
    if (this.legs > MATRIX_JOBS) throw new MatrixSizeError(`more than ${MATRIX_JOBS}`);
    throw new MatrixError(`The matrix takes more than ${MATRIX_WORK} comparisons to expand`);
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

/** Adds what include entries bring; a key that one of them has brought before keeps how it was written. */
function addExtras(leg: JsonObject, fitting: Include[], work: Work): void {
  const written = new Map<string, string>();
  for (const { extra } of fitting) {
    for (const [key, value] of Object.entries(extra)) {
      work.add(1);
      const known = written.get(foldCase(key)) ?? key;
      written.set(foldCase(key), known);
      setKey(leg, known, value);
    }
  }
}

/**
 * The legs of the product, with what include entries add; marks the entries that did. Beyond
 * MATRIX_JOBS they are only counted.
 */
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
    const fitting = includes.filter((include) => work.matches(include.filter, leg));
    for (const include of fitting) include.matched = true;
    if (++work.legs > MATRIX_JOBS) continue;
    const segments = leavesOf(leg);
    addExtras(leg, fitting, work);
    legs.push({ matrix: leg, segments });
  }
  return legs;
}

/**
 * Where nothing is excluded, the product is known without walking it, and an entry of `include` fits
 * somewhere when each of its keys does.
 * @throws MatrixSizeError
 */
function refuseLargeProduct(vectors: Vector[], includes: Include[], work: Work): void {
  const product = vectors.reduce((size, { values }) => size * BigInt(values.length), 1n);
  if (vectors.length === 0 || product <= BigInt(MATRIX_JOBS)) return;
  const fits = ({ filter }: Include): boolean =>
    Object.entries(filter).every(([key, one]) => {
      const vector = vectors.find((other) => foldCase(other.key) === foldCase(key));
      return vector?.values.some((value) => work.matches(one, value)) ?? false;
    });
  work.legs = MATRIX_JOBS + 1;
  const unmatched = includes.filter((include) => !fits(include)).length;
  throw new MatrixSizeError(String(product + BigInt(unmatched)));
}

/**
 * @param matrix the evaluated `strategy.matrix`
 * @returns none, where every combination is excluded and nothing included
 * @throws MatrixError, MatrixSizeError, EvaluationError where the budget does not suffice
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
  const work = new Work(budget);
  if (excludes.length === 0) refuseLargeProduct(vectors, includes, work);
  const legs = productLegs(vectors, excludes, includes, work);
  const unmatched = includes.filter(({ matched }) => !matched);
  const total = work.legs + unmatched.length;
  if (total > MATRIX_JOBS) throw new MatrixSizeError(String(total));
  for (const { filter, extra } of unmatched) {
    const leg = { ...filter, ...extra };
    legs.push({ matrix: leg, segments: leavesOf(leg) });
  }
  return legs;
}
