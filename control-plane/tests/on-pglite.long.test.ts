/** What suites leave to the long tests: the same on PGlite. */
import { doLongTests } from './_databases.ts';

doLongTests();
const SUITES = [
  'called-workflows',
  'caps',
  'concurrency-calls',
  'concurrency-jobs',
  'concurrency',
  'dependents',
  'leases',
  'logs',
  'minutes',
  'queue-order',
  'reruns-of-calls',
  'reruns',
  'run-names',
  'runs',
  'source',
];
for (const suite of SUITES) await import(`./${suite}.test.ts`);
