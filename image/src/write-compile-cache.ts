/**
 * A program of the build, run by the guest's own Node: writes the compile cache of a bundle.
 *
 *     node --random-seed=1 write-compile-cache.ts BUNDLE TARGET
 *
 * All functions are compiled, not only those a load would compile: what V8 leaves for the first call
 * is most of a start. Measured in an emulated guest it is as fast as a cache of only the functions
 * that a job calls, and nobody has to run a job to make it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { compileRunner, packCache } from './guest/runner-script.ts';

const [bundlePath = '', target = ''] = process.argv.slice(2);
const bundle = readFileSync(bundlePath);
setFlagsFromString('--no-lazy');
const script = compileRunner(bundle);
// The cache names the flags it was made under, and the guest's Node has none.
setFlagsFromString('--lazy');
writeFileSync(target, packCache(bundle, script.createCachedData()));
