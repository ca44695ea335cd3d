import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings } from './_lint.ts';

test('what a list names twice is found at its second place', () => {
  const text = `on:
  push:
    branches: [main, dev, main]
jobs:
  b: { runs-on: l, steps: [{ run: a }] }
  a:
    needs: [b, b]
    runs-on: [x, y, x]
    strategy:
      matrix:
        node: [22, 24, 22]
        include: [{ node: 22 }, { node: 22 }]
    steps: [{ run: a }]
`;
  assert.deepEqual(findings('duplicate-entry', text), [
    "3:27 warning 'main' is in `branches` twice; leave one out",
    "7:16 warning 'b' is in `needs` twice; leave one out",
    "8:21 warning 'x' is in `runs-on` twice; leave one out",
    "11:24 warning '22' is in `node` twice; leave one out",
  ]);
});

test('a pattern that is named again after one with ! says something', () => {
  const text =
    "on: { push: { paths: [a, '!a/b', a] } }\njobs: { a: { runs-on: l, steps: [{ run: a }] } }\n";
  assert.deepEqual(findings('duplicate-entry', text), []);
});
