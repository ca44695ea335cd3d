/**
 * The embedded database's folder, `pg/`. A new one is made beside its place and moved there whole,
 * so a crash never leaves half a database under its name. An old one is looked at before PGlite
 * opens it: PGlite may write before it notices damage.
 */
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlPlaneError } from '../errors.ts';

/** PostgreSQL's major version inside PGlite: another one's files cannot be opened. */
const POSTGRES_MAJOR = '18';
/** PG_CONTROL_FILE_SIZE of PostgreSQL's catalog/pg_control.h. */
const CONTROL_FILE_BYTES = 8192;

/** Makes sure that `path` holds a database PGlite can open; throws `data_directory_corrupt`. */
export async function prepareEmbeddedDatabase(path: string): Promise<void> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (exists) {
    await checkDatabase(path);
    return;
  }
  const { PGlite } = await import('@electric-sql/pglite');
  const fresh = `${path}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  const pglite = new PGlite({ dataDir: fresh });
  await pglite.waitReady;
  await pglite.close();
  await rename(fresh, path);
}

export const corruptDatabase = (path: string, what: string, cause?: unknown): ControlPlaneError =>
  new ControlPlaneError(
    'data_directory_corrupt',
    `The database ${path} is refused: ${what}. Nothing in it was overwritten. Restore the data ` +
      'directory from a backup, or choose another directory.',
    { cause },
  );

async function checkDatabase(path: string): Promise<void> {
  const version = await readFile(join(path, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (version === undefined) throw corruptDatabase(path, 'it has no PG_VERSION file');
  const major = version.trim();
  if (major !== POSTGRES_MAJOR) {
    const known = `this onejob embeds PostgreSQL ${POSTGRES_MAJOR}`;
    if (/^\d+$/.test(major) && Number(major) > Number(POSTGRES_MAJOR)) {
      throw new ControlPlaneError(
        'schema_newer',
        `The database ${path} was written by PostgreSQL ${major}; ${known}. Start the newer ` +
          'onejob that wrote it, or choose another directory.',
      );
    }
    throw corruptDatabase(path, `its PG_VERSION says "${major.slice(0, 20)}", ${known}`);
  }
  const control = await stat(join(path, 'global', 'pg_control')).catch(() => undefined);
  if (control?.size !== CONTROL_FILE_BYTES) {
    throw corruptDatabase(path, 'its global/pg_control is missing or cut off');
  }
  for (const folder of ['base', 'pg_wal', 'pg_xact']) {
    const found = await stat(join(path, folder)).catch(() => undefined);
    if (found?.isDirectory() !== true)
      throw corruptDatabase(path, `its folder ${folder} is missing`);
  }
}
