/** Conformance: the actions that onejob has itself. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('builtin-actions', 'checkout');
