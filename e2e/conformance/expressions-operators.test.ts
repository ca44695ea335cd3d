/** Conformance: operators, coercion and comparison of expressions. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('expressions-operators');
