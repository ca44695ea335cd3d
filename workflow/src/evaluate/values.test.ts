/** Coercions and look-up, against the rules of GitHub's documentation and .NET's number format. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from '@onejob/protocol';
import fc from 'fast-check';
import { foldCase, isEqual, isTruthy, lookUp, setKey, toNumber, toText } from './values.ts';

test('numbers become text as .NET G15 writes them', () => {
  const cases: [number, string][] = [
    [0, '0'],
    [-0, '0'],
    [1.5, '1.5'],
    [-12, '-12'],
    [0.1 + 0.2, '0.3'],
    [1e14, '100000000000000'],
    [1e15, '1E+15'],
    [1e21, '1E+21'],
    [123456789012345, '123456789012345'],
    [1234567890123456, '1.23456789012346E+15'],
    [0.0001, '0.0001'],
    [0.00001, '1E-05'],
    [1.5e-7, '1.5E-07'],
    [-2e100, '-2E+100'],
    [NaN, 'NaN'],
    [-Infinity, '-Infinity'],
  ];
  for (const [number, text] of cases) assert.equal(toText(number), text);
});

test('everything else becomes text by its kind', () => {
  assert.equal(toText(null), '');
  assert.equal(toText(true), 'true');
  assert.equal(toText(['a']), 'Array');
  assert.equal(toText({ a: 1 }), 'Object');
});

test('text becomes a number by the runner rules, hexadecimal and octal in 32 bits', () => {
  const cases: [Json, number][] = [
    ['', 0],
    ['  12 ', 12],
    ['+.5', 0.5],
    ['1e3', 1000],
    ['0xff', 255],
    ['0xffffffff', -1],
    ['0x1ffffffff', NaN],
    ['0o17', 15],
    ['0b1', NaN],
    ['1_000', NaN],
    ['Infinity', Infinity],
    ['-Infinity', -Infinity],
    ['abc', NaN],
    [null, 0],
    [true, 1],
    [[], NaN],
    [{}, NaN],
  ];
  for (const [value, number] of cases) assert.equal(toNumber(value), number, JSON.stringify(value));
});

test('truth is false for null, false, 0, NaN and the empty text only', () => {
  for (const value of [null, false, 0, -0, NaN, '']) assert.equal(isTruthy(value), false);
  for (const value of [true, 1, -1, '0', 'false', [], {}]) assert.equal(isTruthy(value), true);
});

test('texts are equal without case, and a letter with a longer upper case stays itself', () => {
  assert.equal(isEqual('MAIN', 'main'), true);
  assert.equal(isEqual('É', 'é'), true);
  assert.equal(isEqual('ß', 'SS'), false);
  assert.equal(isEqual('ı', 'I'), false);
  assert.equal(foldCase('straße'), 'STRAßE');
});

test('unlike primitives are compared as numbers, and nothing equals NaN', () => {
  assert.equal(isEqual(null, 0), true);
  assert.equal(isEqual('', false), true);
  assert.equal(isEqual('1', true), true);
  assert.equal(isEqual(NaN, NaN), false);
  assert.equal(isEqual(null, {}), false);
  const list: Json = [1];
  assert.equal(isEqual(list, list), true);
  assert.equal(isEqual(list, [1]), false);
});

test('look-up sees own keys only, first as written and then without case', () => {
  assert.equal(lookUp({}, 'constructor', false), undefined);
  assert.equal(lookUp({}, '__proto__', false), undefined);
  const object = { FOO: 1, foo: 2 };
  assert.equal(lookUp(object, 'foo', false), 2);
  assert.equal(lookUp(object, 'Foo', false), 1);
  assert.equal(lookUp(object, 'Foo', true), undefined);
});

test('a key named __proto__ is set as a key and does not touch the prototype', () => {
  const object: Record<string, Json> = {};
  setKey(object, '__proto__', { polluted: true });
  assert.deepEqual(Object.keys(object), ['__proto__']);
  assert.equal(Object.getPrototypeOf(object), Object.prototype);
});

/** Numerator and denominator of a double, exactly. */
function exactly(value: number): [bigint, bigint] {
  let [numerator, denominator] = [value, 1n];
  while (!Number.isInteger(numerator)) {
    numerator *= 2;
    denominator *= 2n;
  }
  return [BigInt(numerator), denominator];
}

/** `G15` by arithmetic of whole numbers; undefined: half way between two, which is not laid down. */
function fifteenDigits(value: number): string | undefined {
  const [numerator, denominator] = exactly(Math.abs(value));
  let exponent = 0;
  const scaled = (power: number): [bigint, bigint] =>
    power >= 0
      ? [numerator, denominator * 10n ** BigInt(power)]
      : [numerator * 10n ** BigInt(-power), denominator];
  const isBelow = (power: number, limit: bigint): boolean => {
    const [above, below] = scaled(power);
    return above < limit * below;
  };
  while (!isBelow(exponent, 10n)) exponent++;
  while (isBelow(exponent, 1n)) exponent--;
  const [above, below] = scaled(exponent - 14);
  const twice = 2n * (above % below);
  if (twice === below) return undefined;
  let digits = String(above / below + (twice > below ? 1n : 0n));
  if (digits.length > 15) exponent++;
  digits = digits.replace(/0+$/, '');
  const sign = value < 0 ? '-' : '';
  if (exponent >= 15 || exponent <= -5) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0]}${fraction}E${exponent < 0 ? '-' : '+'}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const rest = digits.slice(exponent + 1);
  return sign + whole + (rest === '' ? '' : `.${rest}`);
}

test('numbers are written as exact arithmetic writes them with fifteen digits', () => {
  const plain = fc.double({ min: -1e17, max: 1e17, noNaN: true });
  const short = fc
    .tuple(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: -20, max: 20 }))
    .map(([digits, power]) => digits * 10 ** power);
  const any = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.oneof(plain, short, any), (value) => {
      fc.pre(value !== 0);
      const expected = fifteenDigits(value);
      fc.pre(expected !== undefined);
      assert.equal(toText(value), expected);
    }),
    { numRuns: 5000 },
  );
});
