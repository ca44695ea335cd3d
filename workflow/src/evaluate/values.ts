/**
 * Values as GitHub's expressions see them: truth, coercion to number and text, comparison, and
 * look-up by key. Objects are read by own keys only, so that `constructor` or `__proto__` are keys
 * like any other.
 *
 * Rules: "Evaluate expressions in workflows and actions" (Literals, Operators), and for numbers as
 * text .NET's format `G15`, which GitHub's runner uses.
 */
import type { CompareOperator, Json, JsonObject } from '@onejob/protocol';

const SIGNIFICANT_DIGITS = 15;
const INT32_MAX = 0x7fffffff;

export const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const isPrimitive = (value: Json): boolean => value === null || typeof value !== 'object';

/** False are null, false, 0, NaN and the empty text; every object and array is true. */
export function isTruthy(value: Json): boolean {
  if (typeof value === 'number') return value !== 0 && !Number.isNaN(value);
  return value !== null && value !== false && value !== '';
}

/** A number as .NET's `G15` writes it: at most 15 digits, `1E+15` from there on, `1E-05` below. */
function numberToText(value: number): string {
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return String(value);
  const [digitsText, exponentText] = value.toExponential(SIGNIFICANT_DIGITS - 1).split('e');
  const exponent = Number(exponentText);
  const digits = (digitsText ?? '').includes('.')
    ? (digitsText ?? '').replace(/0+$/, '').replace(/\.$/, '')
    : (digitsText ?? '');
  if (exponent >= SIGNIFICANT_DIGITS || exponent <= -5) {
    const sign = exponent < 0 ? '-' : '+';
    return `${digits}E${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return String(Number(value.toPrecision(SIGNIFICANT_DIGITS)));
}

/** GitHub's coercion to text: null is empty, objects and arrays are their kind's name. */
export function toText(value: Json): string {
  if (typeof value === 'string') return value;
  if (value === null) return '';
  if (typeof value === 'number') return numberToText(value);
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  return Array.isArray(value) ? 'Array' : 'Object';
}

/** Text to number as GitHub's runner does it: JavaScript's rule, but hexadecimal and octal in 32 bits. */
function textToNumber(text: string): number {
  const trimmed = text.trim();
  if (trimmed === '') return 0;
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(trimmed)) return Number(trimmed);
  if (/^0x[0-9a-fA-F]+$/.test(trimmed)) {
    const value = Number(trimmed);
    return value <= 0xffffffff ? value | 0 : NaN;
  }
  if (/^0o[0-7]+$/.test(trimmed)) {
    const value = Number(trimmed);
    return value <= 0xffffffff ? value | 0 : NaN;
  }
  if (trimmed === 'Infinity') return Infinity;
  if (trimmed === '-Infinity') return -Infinity;
  return NaN;
}

export function toNumber(value: Json): number {
  if (typeof value === 'number') return value;
  if (value === null) return 0;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'string' ? textToNumber(value) : NaN;
}

/**
 * Upper case one UTF-16 unit at a time, as .NET's ordinal comparison without case: a letter whose
 * upper case is longer (`ß`), and the two that would fall into ASCII (`ı`, `ſ`), stay as they are.
 */
export function foldCase(text: string): string {
  // eslint-disable-next-line no-control-regex -- all of ASCII, its controls too
  if (/^[\x00-\x7f]*$/.test(text)) return text.toUpperCase();
  const whole = text.toUpperCase();
  if (whole.length === text.length && !/[ıſ]/.test(text)) return whole;
  let folded = '';
  for (let i = 0; i < text.length; i++) {
    const unit = text.charAt(i);
    const upper = unit.toUpperCase();
    folded += unit === 'ı' || unit === 'ſ' || upper.length !== 1 ? unit : upper;
  }
  return folded;
}

type Kind = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object';
function kindOf(value: Json): Kind {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value as Kind;
}

/** Both sides as the kind they are compared in: unlike primitives meet as numbers. */
function coerced(left: Json, right: Json): [Json, Json] {
  const leftKind = kindOf(left);
  const rightKind = kindOf(right);
  if (leftKind === rightKind) return [left, right];
  const loose = (kind: Kind): boolean => kind === 'null' || kind === 'boolean';
  if (leftKind === 'number' && rightKind === 'string') return [left, toNumber(right)];
  if (leftKind === 'string' && rightKind === 'number') return [toNumber(left), right];
  if (loose(leftKind)) return coerced(toNumber(left), right);
  if (loose(rightKind)) return coerced(left, toNumber(right));
  return [left, right];
}

/** Equality without case for text; objects and arrays are equal to themselves only. */
export function isEqual(left: Json, right: Json): boolean {
  const [l, r] = coerced(left, right);
  if (typeof l === 'string' && typeof r === 'string') {
    return l === r || (l.length === r.length && foldCase(l) === foldCase(r));
  }
  return l === r;
}

function isLess(left: Json, right: Json): boolean {
  const [l, r] = coerced(left, right);
  if (typeof l === 'string' && typeof r === 'string') return foldCase(l) < foldCase(r);
  if (typeof l === 'number' && typeof r === 'number') return l < r;
  return l === false && r === true;
}

export function compare(operator: CompareOperator, left: Json, right: Json): boolean {
  switch (operator) {
    case '==':
      return isEqual(left, right);
    case '!=':
      return !isEqual(left, right);
    case '<':
      return isLess(left, right);
    case '<=':
      return isEqual(left, right) || isLess(left, right);
    case '>':
      return isLess(right, left);
    case '>=':
      return isEqual(left, right) || isLess(right, left);
  }
}

/** The value under a key: as written, else without case (not in `exact` dictionaries). */
export function lookUp(object: JsonObject, key: string, exact: boolean): Json | undefined {
  if (Object.hasOwn(object, key)) return object[key];
  if (exact) return undefined;
  const folded = foldCase(key);
  for (const candidate of Object.keys(object)) {
    if (candidate.length === key.length && foldCase(candidate) === folded) return object[candidate];
  }
  return undefined;
}

/** The place in an array an index means; undefined: none. */
export function toArrayIndex(index: Json): number | undefined {
  const number = toNumber(index);
  return number >= 0 && number <= INT32_MAX ? Math.floor(number) : undefined;
}

/** Sets an own key, whatever its name. */
export function setKey(object: JsonObject, key: string, value: Json): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  } else {
    object[key] = value;
  }
}
