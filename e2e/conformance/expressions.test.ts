/** Conformance: operators, coercion, functions and contexts of expressions. */
import { listCaseFiles, loadCases } from './case-file.ts';
import { testCases } from './run-cases.ts';

const files = listCaseFiles().filter((name) => name.startsWith('expressions-'));
testCases('expressions', 'process', loadCases(files));
