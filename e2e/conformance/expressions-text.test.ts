/** Conformance: values of expressions as text. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('expressions-text');
