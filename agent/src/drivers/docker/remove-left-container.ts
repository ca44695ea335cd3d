/**
 * Program of a guardian (host/guardian.ts): removes the container of a sandbox whose agent is gone.
 * Arguments: the engine's socket, the host marker, the sandbox's id.
 */
import { explainError } from '@onejob/protocol';
import { removeContainer } from './container.ts';
import { Engine } from './engine.ts';

const [socketPath = '', hostMarker = '', sandboxId = ''] = process.argv.slice(2);
try {
  await removeContainer(new Engine(socketPath), { hostMarker, sandboxId });
} catch (error) {
  process.stderr.write(`${explainError(error)}\n`);
  process.exitCode = 1;
}
