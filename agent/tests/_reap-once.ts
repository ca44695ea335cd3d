/** One reaping as a process of its own, in whatever namespaces it is started: options in, report out. */
import { trialFinder } from '../src/sandbox/finders/trials.ts';
import { reap } from '../src/sandbox/reaper.ts';
import { listTrials } from '../src/sandbox/trial-place.ts';
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
  finders: [trialFinder(options.cacheDirectory)],
  trials: async () => await listTrials(options.cacheDirectory),
  undo: undoOn(options.hostMarker),
});
process.stdout.write(JSON.stringify({ entries, failed }));
