/**
 * The thread that parses workflow files, and does nothing else: a file comes in as a message, its
 * result goes out as one. It says `ready` once its modules are loaded.
 */
import { parentPort } from 'node:worker_threads';
import { parseWorkflow } from '@onejob/workflow/parse';

const say = (message: unknown): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(message);
};

parentPort?.on('message', (source: { file: string; text: string }) => say(parseWorkflow(source)));
say('ready');
