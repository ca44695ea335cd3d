/** Conformance: what a workflow file means before anything runs, and what its jobs wait for. */
import { listCaseFiles, loadCases } from './case-file.ts';
import { testCases } from './run-cases.ts';

const files = listCaseFiles().filter((name) => name.startsWith('planning-'));
testCases('planning', 'process', loadCases(files));
