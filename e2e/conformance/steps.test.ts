/** Conformance: steps, and what values look like in them. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('steps-run', 'steps-values');
