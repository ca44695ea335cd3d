/** What debug logging tells of an evaluation: lines that GitHub's runner wrote in real logs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from '@onejob/protocol';
import { parseExpression } from '../parse/expression.ts';
import { evaluateExpression } from './index.ts';
import { TRACE_CHARACTERS } from './limits.ts';

const CONTEXTS: Record<string, Json> = {
  github: { ref: 'refs/heads/main', event_name: 'push', event: { labels: [{ name: 'bug' }] } },
  vars: {},
  secrets: { TOKEN: "it's-hidden" },
  matrix: { node: 20 },
};

function trace(expression: string, contexts = CONTEXTS): string[] {
  const lines: string[] = [];
  const functions = { success: () => true, failure: () => false };
  const node = parseExpression(expression, [
    ...Object.keys(contexts),
    'success(0,0)',
    'failure(0,0)',
  ]);
  evaluateExpression(node, {
    contexts,
    functions,
    trace: {
      tell: (line) => lines.push(line),
      mask: (text) => text.replaceAll("it's-hidden", '***'),
    },
  });
  return lines;
}

test('a function alone is told as GitHub does', () => {
  const lines = ['Evaluating: success()', 'Evaluating success:', '=> true', 'Result: true'];
  assert.deepEqual(trace('success()'), lines);
});

test('the parts of a condition are told with their values, and then put in', () => {
  assert.deepEqual(trace("success() && (github.ref == 'refs/heads/main' && !failure())"), [
    "Evaluating: (success() && (github.ref == 'refs/heads/main') && !failure())",
    'Evaluating And:',
    '..Evaluating success:',
    '..=> true',
    '..Evaluating Equal:',
    '....Evaluating Index:',
    '......Evaluating github:',
    '......=> Object',
    '......Evaluating String:',
    "......=> 'ref'",
    "....=> 'refs/heads/main'",
    '....Evaluating String:',
    "....=> 'refs/heads/main'",
    '..=> true',
    '..Evaluating Not:',
    '....Evaluating failure:',
    '....=> false',
    '..=> true',
    '=> true',
    "Expanded: (true && ('refs/heads/main' == 'refs/heads/main') && !false)",
    'Result: true',
  ]);
});

test('what was not evaluated stays as it is written', () => {
  const lines = trace("failure() && (github['event_name'] == 'push' || vars.A)");
  assert.deepEqual(lines, [
    "Evaluating: (failure() && ((github.event_name == 'push') || vars.A))",
    'Evaluating And:',
    '..Evaluating failure:',
    '..=> false',
    '=> false',
    "Expanded: (false && ((github['event_name'] == 'push') || vars['A']))",
    'Result: false',
  ]);
});

test('a wildcard is a part, and only of something that has elements', () => {
  assert.deepEqual(trace("contains(github.event.labels.*.name, 'bug')").slice(0, 13), [
    "Evaluating: contains(github.event.labels[*].name, 'bug')",
    'Evaluating contains:',
    '..Evaluating Index:',
    '....Evaluating Index:',
    '......Evaluating Index:',
    '........Evaluating Index:',
    '..........Evaluating github:',
    '..........=> Object',
    '..........Evaluating String:',
    "..........=> 'event'",
    '........=> Object',
    '........Evaluating String:',
    "........=> 'labels'",
  ]);
  const last = trace('github.ref.*');
  assert.ok(!last.includes('..Evaluating Wildcard:'));
  assert.ok(trace('matrix.*').includes("..=> '*'"));
  assert.deepEqual(last.slice(-2), ['=> Array', 'Result: Array']);
});

test('values are masked before their quotes are doubled', () => {
  const lines = trace("format('{0}''s', secrets.TOKEN)");
  assert.ok(lines.includes("..=> '***'") && lines.includes("Result: '***''s'"), lines.join('\n'));
  assert.ok(!lines.join('\n').includes('hidden'));
});

test('a number that was written as a text is not expanded', () => {
  assert.deepEqual(trace('matrix.node').slice(-2), ['=> 20', 'Result: 20']);
  assert.deepEqual(trace('vars.none').slice(-2), ['=> null', 'Result: null']);
});

test('a trace has an end, and says so', () => {
  const big = 'x'.repeat(TRACE_CHARACTERS / 4);
  const expression = Array(20).fill("github.big == 'a'").join(' || ');
  const lines = trace(expression, { github: { big } });
  assert.ok(lines.join('').length < 2 * TRACE_CHARACTERS);
  assert.match(lines.at(-1)!, /not shown/);
});
