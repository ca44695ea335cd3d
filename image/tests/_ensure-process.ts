/** `ensureImage` in a process of its own: prints each progress and the outcome as a line of JSON. */
import { ensureImage, ImageError } from '../src/index.ts';

const [cacheDir = '', guestRunnerEntry = ''] = process.argv.slice(2);
const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
try {
  const onProgress = (progress: unknown): void => print({ progress });
  print({ image: await ensureImage({ cacheDir, guestRunnerEntry, onProgress }) });
} catch (error) {
  if (!(error instanceof ImageError)) throw error;
  print({ error: { code: error.code, message: error.message } });
}
