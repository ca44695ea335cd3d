/**
 * What init starts in the guest: the runner's bundle, with its compile cache. Under emulation that
 * saves the half second V8 would parse and compile for, up to the first step of a job.
 *
 * A cache that is missing, damaged, or that V8 rejects (another version, other flags) costs that time
 * and nothing else. Nothing of this reaches a process of the job: there is no variable, no argument
 * of Node's and no open file in it.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { compileRunner, RUNNER_FILES, unpackCache } from './runner-script.ts';

type RunnerModule = {
  exports: object;
  /** For tests: what V8 said to the cache. */
  compileCache: 'accepted' | 'rejected' | 'unusable';
};
type Runner = (
  require: (id: string) => unknown,
  module: RunnerModule,
  exports: object,
  filename: string,
  directory: string,
) => void;

const directory = dirname(process.argv[1] ?? '');
const path = join(directory, RUNNER_FILES.bundle);
const bundle = readFileSync(path);
const cachedData = readCache();
const script = compileRunner(bundle, cachedData);
const runnerModule: RunnerModule = {
  exports: {},
  compileCache:
    cachedData === undefined ? 'unusable' : script.cachedDataRejected ? 'rejected' : 'accepted',
};
const run = script.runInThisContext() as Runner;
run(requireModule, runnerModule, runnerModule.exports, path, directory);

/** Node's own modules, and what lies beside the bundle: that is compiled when it is first asked for. */
function requireModule(id: string): unknown {
  if (!id.startsWith('./')) return process.getBuiltinModule(id);
  const beside = join(directory, id);
  const part = { exports: {}, compileCache: 'unusable' } satisfies RunnerModule;
  const load = compileRunner(readFileSync(beside), undefined, beside).runInThisContext() as Runner;
  load(requireModule, part, part.exports, beside, directory);
  return part.exports;
}

function readCache(): Buffer | undefined {
  try {
    return unpackCache(bundle, readFileSync(join(directory, RUNNER_FILES.cache)));
  } catch {
    return undefined;
  }
}
