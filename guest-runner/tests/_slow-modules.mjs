/** Loaded into a runner before anything else: the job's modules take so long that the host is faster. */
import { registerHooks } from 'node:module';

registerHooks({
  load(url, context, load) {
    const loaded = load(url, context);
    if (!url.endsWith('/job/run-job.ts')) return loaded;
    const wait = 'await new Promise((passed) => setTimeout(passed, 300));';
    return { ...loaded, source: `${wait}\n${loaded.source}` };
  },
});
