/** Conformance: the cases that take minutes (`long: true`) and have no machine of their own. */
import { loadCases } from './case-file.ts';
import { testCases } from './run-cases.ts';

testCases(
  'slow',
  'process',
  loadCases().filter(({ isLong, inMachines }) => isLong && !inMachines),
);
