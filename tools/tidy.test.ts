import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { readWorkspaces } from './test-run/find-files.ts';
import { checkClaims } from './tidy/claims.ts';
import { checkLimitsPage } from './tidy/limits-page.ts';
import {
  checkEnvironment,
  checkGuestRandomness,
  checkPurity,
  checkSpawning,
} from './tidy/doors.ts';
import { EXCEPTIONS } from './tidy/exceptions.ts';
import {
  checkCodeMap,
  checkRegistryHosts,
  isCounted,
  isSource,
  readEntryPoints,
  readOtherFiles,
  readWorkspaceFiles,
} from './tidy/repository.ts';
import { applyExceptions, formatViolation } from './tidy/rule.ts';
import type { Violation } from './tidy/rule.ts';
import {
  checkBarrel,
  checkDecorators,
  checkFunctions,
  checkLeftovers,
  checkLength,
  checkNames,
  checkOpeningComment,
} from './tidy/shape.ts';
import { readSource } from './tidy/source-file.ts';
import { checkImports, checkWiring } from './tidy/zones.ts';

// The rules themselves are tested on small offenders in tools/tidy/*.test.ts.

const root = path.join(import.meta.dirname, '..');
const workspaceFiles = readWorkspaceFiles(root);
const otherFiles = readOtherFiles(root);
const sources = workspaceFiles
  .filter((file) => isSource(file.path))
  .map((file) => readSource(file.path, file.text));
const entryPoints = readEntryPoints(root);
const limitsPages = otherFiles.filter((file) => file.path === 'docs/limits.md');
/** What each `limits.ts` exports: the code itself is asked, not its text. */
const limits = new Map<string, Record<string, unknown>>();
for (const { path: file } of sources.filter((one) => one.path.endsWith('/limits.ts'))) {
  limits.set(file, (await import(path.join(root, file))) as Record<string, unknown>);
}
const codeMaps = otherFiles.filter((file) => file.path === 'ARCHITECTURE.md');

const rules: Record<string, () => Violation[]> = {
  'zones import only what the table of zones allows': () => [
    ...sources.flatMap(checkImports),
    ...checkWiring(sources),
  ],
  'process.env is read in config rooms only': () => sources.flatMap(checkEnvironment),
  'processes are started in the rooms for it only': () => sources.flatMap(checkSpawning),
  'the guest runner takes no chance before its steps': () => sources.flatMap(checkGuestRandomness),
  'the pure zones have no clock, process, chance or I/O': () => sources.flatMap(checkPurity),
  'every module opens with a comment': () => sources.flatMap(checkOpeningComment),
  'files are short': () =>
    workspaceFiles
      .filter((file) => isCounted(file.path))
      .flatMap((file) => checkLength(file.path, file.text.split('\n').length - 1)),
  'functions are short': () => sources.flatMap(checkFunctions),
  'names are kebab-case and say something': () =>
    workspaceFiles.filter((file) => isCounted(file.path)).flatMap((file) => checkNames(file.path)),
  'there are no decorators': () => sources.flatMap(checkDecorators),
  'nothing is left to do without a reason': () => sources.flatMap(checkLeftovers),
  'nothing but the exports of a zone is a barrel': () =>
    sources.flatMap((source) => checkBarrel(source, entryPoints)),
  'no package registry is named': () =>
    [...workspaceFiles, ...otherFiles].flatMap(checkRegistryHosts),
  'every claim of SECURITY.md names a test that exists': () =>
    otherFiles
      .filter((file) => file.path === 'SECURITY.md')
      .flatMap((file) => checkClaims(file, workspaceFiles)),
  'the limits that the documentation names are those of the code': () =>
    limitsPages.flatMap((page) => checkLimitsPage(page, (file, name) => limits.get(file)?.[name])),
  'the code map names every workspace': () =>
    codeMaps.flatMap((file) => checkCodeMap(file, readWorkspaces(root))),
};

const found = Object.entries(rules).map(([title, check]) => ({ title, violations: check() }));
const open = applyExceptions(
  found.flatMap(({ violations }) => violations),
  EXCEPTIONS,
);

for (const { title, violations } of found) {
  test(title, () => {
    const lines = violations.filter((one) => open.includes(one)).map(formatViolation);
    assert.ok(lines.length === 0, `\n${lines.join('\n')}`);
  });
}

test('every exception is needed', () => {
  const lines = open.filter((one) => one.rule === 'exceptions').map(formatViolation);
  assert.ok(lines.length === 0, `\n${lines.join('\n')}`);
});
