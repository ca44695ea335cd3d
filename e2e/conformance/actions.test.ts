/** Conformance: actions of the repository and of others, and what onejob does otherwise. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('actions', 'actions-parts', 'deviations');
