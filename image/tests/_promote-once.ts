/** A process of its own for tests: promotes one image after the other until its parent ends it. */
import { promoteImage } from '../src/promotion/promote.ts';

const [cacheDir = '', ...references] = process.argv.slice(2);
for (const reference of references) {
  await promoteImage({ cacheDir, reference });
  process.stdout.write(`${reference}\n`);
}
