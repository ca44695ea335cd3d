/** The version the runner tells the host and the log. */
import manifest from '../package.json' with { type: 'json' };

export const RUNNER_VERSION: string = manifest.version;
