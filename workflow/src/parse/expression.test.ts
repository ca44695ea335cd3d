/** Expression text to trees, and where the package underneath is corrected. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExpression, withImplicitSuccess } from './expression.ts';

const ALLOWED = ['github', 'success(0,0)', 'failure(0,MAX)', 'hashFiles(1,255)'];
const parse = (text: string) => parseExpression(text, ALLOWED);

test('every quote of a text literal is unescaped, not the first alone', () => {
  assert.deepEqual(parse("'a ''b'' c'''"), { kind: 'literal', value: "a 'b' c'" });
});

test('numbers that JSON cannot write are special nodes', () => {
  assert.deepEqual(parse('NaN'), { kind: 'special', value: 'NaN' });
  assert.deepEqual(parse('-Infinity'), { kind: 'special', value: '-Infinity' });
  assert.deepEqual(parse('1e999'), { kind: 'special', value: 'Infinity' });
  assert.deepEqual(parse('0x1F'), { kind: 'literal', value: 31 });
});

test('context and function names are lower case in the tree', () => {
  assert.deepEqual(parse('GitHub.Ref'), {
    kind: 'index',
    of: { kind: 'context', name: 'github' },
    key: { kind: 'literal', value: 'Ref' },
  });
  assert.deepEqual(parse('HASHFILES(1)'), {
    kind: 'call',
    name: 'hashfiles',
    args: [{ kind: 'literal', value: 1 }],
  });
});

test('names of Object.prototype are neither functions nor contexts', () => {
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    assert.throws(() => parse(`${name}()`), /Unrecognized function/);
    assert.throws(() => parse(name), /Unrecognized named-value/);
  }
});

test('a chain is refused where its tree is deeper than GitHub lets it be', () => {
  assert.throws(() => parse(`1${'==1'.repeat(50)}`), /^Error: Exceeded max expression depth 50$/);
  assert.equal(parse(`1${'==1'.repeat(49)}`).kind, 'compare');
  const steps = '[0]'.repeat(48);
  assert.equal(parse(`github${steps}`).kind, 'index');
  assert.throws(() => parse(`!!github${steps}`), /max expression depth 50/);
  assert.equal(parse(`(((1)${'&&(1)'.repeat(200)}))`).kind, 'and');
});

test('success() is added unless the condition asks for a status itself, in code and not in text', () => {
  const implicit = (text: string) => withImplicitSuccess(parse(text)).kind === 'and';
  assert.equal(implicit("github.ref == 'x'"), true);
  assert.equal(implicit("github.ref == 'failure()'"), true);
  assert.equal(implicit('github.failure'), true);
  assert.equal(implicit('!failure()'), false);
  assert.equal(implicit("github[format('{0}', FAILURE())]"), false);
});
