/** The rules of the conformance folder: every case has a source and an expectation, and a name of its own. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listCaseFiles, loadCases, readCases } from './case-file.ts';

const SOURCE = 'source: https://docs.github.com/en/actions/x\n';
const reason = (content: string): string => {
  try {
    readCases('a.yml', content);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return '';
};

test('a case without a source, or with one that names no page and no test, is refused', () => {
  const rest = 'case: x\nsteps: [{ run: a }]\nexpect: { conclusion: success }\n';
  assert.match(reason(rest), /^a\.yml:1: `source` is missing/);
  assert.match(reason(`source: I know it\n${rest}`), /names neither a page/);
  assert.equal(reason(SOURCE + rest), '');
  assert.equal(reason(`source: A_Test in src/Test/L0/Worker/ActionCommandL0.cs\n${rest}`), '');
});

test('a case that expects nothing, or something unknown, is refused with its line', () => {
  const rest = `case: x\n${SOURCE}steps: [{ run: a }]\n`;
  assert.match(reason(rest), /`expect` is missing/);
  assert.match(reason(`${rest}expect: {}\n`), /`expect` is empty/);
  assert.match(reason(`${rest}expect: { log: }\n`), /'log' is empty/);
  assert.match(reason(`${rest}expect: { jobs: { job: {} } }\n`), /the job 'job' is empty/);
  assert.match(reason(`${rest}expect: { logs: [a] }\n`), /unknown key 'logs'/);
  assert.match(reason(`${rest}expect: { log: [1] }\n`), /must be a list of texts/);
  assert.match(reason(`case: x\n${SOURCE}values: {}\n`), /must map expressions/);
  assert.match(reason(`case: x\n${SOURCE}texts: { a: 1 }\n`), /'a' is no text/);
  const second = `${rest}expect: { log: [a] }\n---\n${rest}nope: 1\n`;
  assert.match(reason(second), /^a\.yml:6: the key 'nope' is not known/);
});

test('no two cases have the same name', () => {
  const names = loadCases().map(({ name }) => name);
  const twice = names.filter((name, i) => names.indexOf(name) !== i);
  assert.deepEqual(twice, []);
});

test('every file of cases is run by the test file of its name', () => {
  for (const name of listCaseFiles()) {
    const file = join(import.meta.dirname, `${name}.test.ts`);
    assert.ok(existsSync(file), `${name}.yml needs a test file: ${file}`);
    assert.match(readFileSync(file, 'utf8'), new RegExp(`^testCaseFile\\('${name}'\\);$`, 'm'));
  }
});

test('twenty-five cases or more are run in machines of their own', () => {
  assert.ok(loadCases().filter(({ inMachines }) => inMachines).length >= 25);
});

test('docs/compatibility.md lists the deviations, and nothing else, by the names of their cases', () => {
  const page = join(import.meta.dirname, '..', '..', 'docs', 'compatibility.md');
  const section =
    readFileSync(page, 'utf8')
      .split(/^## /m)
      .find((part) => part.startsWith('Cases that GitHub decides otherwise\n')) ?? '';
  const listed = Array.from(section.matchAll(/^- `(.+)`/gm), ([, name = '']) => name);
  const marked = loadCases().filter(({ deviation }) => deviation !== '');
  assert.deepEqual(listed.toSorted(), marked.map(({ name }) => name).toSorted());
});
