/** Conformance: GitHub's own actions, as onejob does them itself. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('builtin-actions');
