/** A process that owns a data directory until it is killed: for lifecycle.test.ts. */
import { startControlPlane } from '../src/index.ts';

await startControlPlane({
  dataDirectory: process.argv[2] ?? '',
  database: { kind: 'pglite' },
});
process.send?.('started');
