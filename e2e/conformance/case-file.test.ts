/** The rules of the conformance folder: every case has a source and an expectation, and a name of its own. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listCaseFiles, loadCases, readCases } from './case-file.ts';
import { CONTEXT_TABLE } from './context-table.ts';
import { SOURCES, whyNoSource } from './sources.ts';

const SOURCE =
  'source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax\n';
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
  assert.match(reason(`source: I know it\n${rest}`), /`source`: it names neither a page/);
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

test('every file of cases is run by one test file', () => {
  const tests = readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'));
  const named = tests.flatMap((text) => {
    const [, names = ''] = /^testCaseFiles\(([^)]*)\);$/m.exec(text) ?? [];
    return Array.from(names.matchAll(/'([\w-]+)'/g), ([, name = '']) => name);
  });
  assert.deepEqual(named.toSorted(), listCaseFiles());
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
  const listed = Array.from(section.matchAll(/^- `(.+)`: /gm), ([, name = '']) => name);
  const cases = loadCases().filter(({ deviation }) => deviation !== '');
  const rows = CONTEXT_TABLE.filter(({ deviation }) => deviation !== undefined);
  const marked = [
    ...cases.map(({ name }) => name),
    ...rows.map(({ key }) => `context-table: ${key}`),
  ];
  assert.deepEqual(listed.toSorted(), marked.toSorted());
});

test('a source names a page, a section or a file that is in sources.yml', () => {
  const syntax =
    'https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax';
  assert.equal(whyNoSource(`${syntax}#onschedule`), '');
  assert.match(whyNoSource(`${syntax}#on.schedule`), /no section 'on\.schedule' of the page/);
  assert.match(whyNoSource(`${syntax}es`), /the page .*workflow-syntaxes is not in/);
  assert.equal(whyNoSource('Any in src/Test/L0/Worker/StepsRunnerL0.cs'), '');
  assert.match(
    whyNoSource('Any in src/Test/L0/Worker/StepsL0.cs'),
    /actions\/runner .*StepsL0\.cs/,
  );
  assert.match(
    whyNoSource('Any in actions/toolkit src/a.ts'),
    /actions\/toolkit src\/a\.ts is not/,
  );
  assert.match(
    whyNoSource('https://github.com/actions/runner/blob/main/src/No.cs (Part)'),
    /No\.cs/,
  );
  assert.match(whyNoSource('https://github.com/constructor/a/blob/main/b.c'), /is not in/);
  assert.match(whyNoSource('I know it'), /names neither a page/);
});

test('sources.yml names what the cases name, and nothing else, each with a title', () => {
  const sources = loadCases().map(({ source }) => source);
  const { pages, files } = SOURCES;
  for (const [path, { title, sections = [] }] of Object.entries(pages)) {
    assert.ok(title.trim() !== '', path);
    const address = `https://docs.github.com/en/${path}`;
    assert.ok(
      sources.some((source) => source.startsWith(address)),
      `no case names ${path}`,
    );
    const unused = sections.filter((section) => !sources.includes(`${address}#${section}`));
    assert.deepEqual(unused, [], path);
  }
  const named = Object.values(files).flatMap((folders) => Object.values(folders).flat());
  const unused = named.filter((name) => !sources.some((source) => source.includes(name)));
  assert.deepEqual(unused, []);
});

test('what runs cannot do together is refused', () => {
  const of = (runs: string) => reason(`case: x\n${SOURCE}steps: [{ run: a }]\n${runs}`);
  const ok = '{ expect: { conclusion: success } }';
  assert.equal(of(`runs: [${ok}, { meanwhile: running, expect: { after: 1 } }]`), '');
  assert.equal(of(`runs: [${ok}, { rerun: [job], of: 1, expect: { attempt: 2 } }]`), '');
  assert.match(of(`runs: [${ok}]\nexpect: { log: [a] }`), /none beside them/);
  assert.match(of('runs: []'), /must be a list/);
  assert.match(of('runs: [{ conclusion: success }]'), /unknown key 'conclusion'/);
  assert.match(of('runs: [{ rerun: all, expect: { attempt: 2 } }]'), /a run before it/);
  assert.match(of(`runs: [${ok}, { rerun: some, expect: { attempt: 2 } }]`), /`all`, `failed`/);
  assert.match(of(`runs: [${ok}, { debug: true, expect: { attempt: 2 } }]`), /are of a `rerun`/);
  assert.match(of('runs: [{ meanwhile: true, expect: { attempt: 1 } }]'), /goes on beside/);
  assert.match(of(`qemu: true\nruns: [${ok}, ${ok}]`), /a case of one run/);
  assert.match(of('actions: { ./a: {} }\nexpect: { log: [a] }'), /no action of others: \.\/a/);
});
