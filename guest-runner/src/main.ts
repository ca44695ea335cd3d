/** Entry point in the sandbox: one job, then the end. Bundled into one CommonJS file. */
import { readConfig } from './config/config.ts';
import { messageOf } from './errors.ts';
import { runGuest } from './guest.ts';

async function main(): Promise<number> {
  try {
    await runGuest(readConfig());
    return 0;
  } catch (error) {
    process.stderr.write(`onejob guest runner: ${messageOf(error)}\n`);
    return 1;
  }
}

// Carriers and pipes may hold the loop; whatever they still do is of no use to anybody.
// oxlint-disable-next-line unicorn/no-process-exit -- this is the process's entry point
void main().then((code) => process.exit(code));
