/** Conformance: the cases that say `qemu: true`, in machines of their own too. */
import { loadCases } from './case-file.ts';
import { testCases } from './run-cases.ts';

testCases(
  'in machines',
  'qemu',
  loadCases().filter(({ inMachines }) => inMachines),
);
