/** One reaping as a process of its own, in whatever namespaces it is started: options in, report out. */
import { reap } from '../src/sandbox/reaper.ts';
import { undoOn } from '../src/sandbox/undo.ts';

type Options = {
  hostMarker: string;
  sandboxesDirectory: string;
  journalsDirectory: string;
  cacheDirectory: string;
  alive: string[];
  nowMs: number;
};

const options = JSON.parse(process.argv[2] ?? '') as Options;
const { entries, failed } = await reap({
  ...options,
  alive: new Set(options.alive),
  undo: undoOn(options.hostMarker),
});
process.stdout.write(JSON.stringify({ entries, failed }));
