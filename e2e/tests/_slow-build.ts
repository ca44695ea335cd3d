/** A host without an image, on which one cannot be made. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommandLine } from './_command-line.ts';

/** An empty cache, and a build that stands still until it is told to fail. */
export function slowBuild(line: CommandLine, directory: string) {
  const base = dirname(line.data);
  const bin = join(base, 'bin');
  const go = join(base, 'go');
  mkdirSync(bin);
  const script = `#!/bin/sh\nwhile [ ! -e '${go}' ]; do sleep 0.1; done\necho no mirror >&2\nexit 1\n`;
  writeFileSync(join(bin, 'mmdebstrap'), script);
  chmodSync(join(bin, 'mmdebstrap'), 0o755);
  return {
    fail: () => writeFileSync(go, ''),
    place: {
      directory,
      environment: {
        ONEJOB_CACHE_DIR: join(base, 'cache'),
        PATH: `${bin}:${process.env['PATH']}`,
      },
    },
  };
}
