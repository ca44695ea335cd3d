/**
 * The guest image as an image of the engine's: imported once, tagged by its digest, and found by that
 * tag from then on. Whoever may tag images in the engine is root on this host, so the tag is believed.
 */
import { text } from 'node:stream/consumers';
import { tarOf, unpackImage } from '../../host/unpacked-image.ts';
import { AgentError } from '../../errors.ts';
import type { MachineImage } from '../../sandbox/driver.ts';
import { IMPORT_TIMEOUT_MS, OWN_REPOSITORY } from './config.ts';
import { isObject, type Engine } from './engine.ts';

/** A tag has at most 128 characters. */
export const imageName = (digest: string): string => `${OWN_REPOSITORY}:${digest}`;

const importing = new Map<string, Promise<void>>();

/** The image's name in the engine, where it is when this returns. */
export async function importImage(
  engine: Engine,
  image: MachineImage,
  cacheDirectory: string,
): Promise<string> {
  const name = imageName(image.digest);
  const key = `${engine.socketPath} ${name}`;
  const running = importing.get(key) ?? importOnce(engine, image, cacheDirectory);
  importing.set(key, running);
  try {
    await running;
  } finally {
    importing.delete(key);
  }
  return name;
}

async function importOnce(
  engine: Engine,
  image: MachineImage,
  cacheDirectory: string,
): Promise<void> {
  const name = imageName(image.digest);
  const found = await engine.find('look at its images', async (docker) =>
    docker.getImage(name).inspect(),
  );
  if (found !== undefined) return;
  const directory = await unpackImage(image, cacheDirectory);
  using undo = new DisposableStack();
  const said = await engine.ask(
    'import the guest image',
    async (docker) => {
      // Begun here and not before, or nobody would hear of its failure until it is sent.
      const tar = undo.adopt(tarOf(directory), (begun) => void begun.destroy());
      // The tag in the name: Podman passes over a tag that stands apart.
      return text(await docker.importImage(tar, { repo: name }));
    },
    IMPORT_TIMEOUT_MS,
  );
  checkImport(said);
}

/** The engine answers at once, and says in the lines that follow whether it worked. */
function checkImport(lines: string): void {
  for (const line of lines.split('\n')) {
    const said = line.trim() === '' ? undefined : (JSON.parse(line) as unknown);
    if (isObject(said) && typeof said['error'] === 'string') {
      throw new AgentError(
        'boot_failed',
        `The container engine could not import the guest image: ${said['error']}`,
      );
    }
  }
}
