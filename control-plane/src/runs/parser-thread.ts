/**
 * The thread that parses workflow files and metadata files of actions, and does nothing else: a file
 * comes in as a message, its result goes out as one. It says `ready` once its modules are loaded;
 * the parser of actions is loaded with the first of them.
 */
import { parentPort } from 'node:worker_threads';
import { parseWorkflow } from '@onejob/workflow/parse';

export type FileToParse = { kind: 'workflow' | 'action'; file: string; text: string };

const say = (message: unknown): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(message);
};

async function parse({ kind, ...source }: FileToParse): Promise<unknown> {
  if (kind === 'workflow') return parseWorkflow(source);
  const { parseAction } = await import('@onejob/workflow/parse-action');
  return await parseAction(source);
}

parentPort?.on('message', (source: FileToParse) => void parse(source).then(say));
say('ready');
