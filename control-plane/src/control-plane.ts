/**
 * The control plane of one data directory, started and stopped as a whole.
 *
 *     data directory -> database -> life sign -> agents' socket -> sweeper -> API
 *
 * Each part registers its undo when it is there; stopping runs them backwards. Nothing is left:
 * no timer, socket, child or lock.
 */
import { chmod } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { explainError } from '@onejob/protocol';
import { serveAgents } from './agents/agent-server.ts';
import type { ApiParts } from './api/api-parts.ts';
import { createApiServer } from './api/server.ts';
import type { Clock } from './clock.ts';
import { type CompleteConfig, completeConfig, type ControlPlaneConfig } from './config/config.ts';
import { Vault } from './credentials.ts';
import { openDataDirectory } from './data/data-directory.ts';
import { diskFull, isDiskFull } from './data/disk-full.ts';
import { corruptDatabase, prepareEmbeddedDatabase } from './data/embedded-database.ts';
import { ControlPlaneError } from './errors.ts';
import { Repositories } from './git/repositories.ts';
import { SourceServer } from './git/source-server.ts';
import { recordLife } from './leases/expire-leases.ts';
import { LogArchive } from './logs/log-archive.ts';
import { RunIntake } from './runs/run-intake.ts';
import { ActionServer } from './actions/action-server.ts';
import { WorkflowParser } from './runs/workflow-parser.ts';
import { forgetPresence } from './store/announce-agent.ts';
import { Notifier } from './store/notifier.ts';
import { startRelay } from './store/relay.ts';
import { openStore, type Store } from './store/store.ts';
import { startSweeper } from './sweeper.ts';

export type ControlPlane = AsyncDisposable & {
  readonly dataDirectory: string;
  readonly apiSocketPath: string;
  readonly agentSocketPath: string;
  /** `http://host:port` where `listen` was given. */
  readonly apiUrl: string | undefined;
  readonly apiToken: string;
  readonly apiTokenPath: string;
  readonly schemaRevision: number;
  /** Aborted when it can no longer keep what it is told, with the error to end with. */
  readonly broken: AbortSignal;
  /** No run goes on: takes none from now on, so that whoever sends one can go elsewhere. */
  closeIfIdle(): Promise<boolean>;
};

export async function startControlPlane(given: ControlPlaneConfig): Promise<ControlPlane> {
  const config = completeConfig(given);
  const { clock, terms } = config;
  const { reportFault, broken } = watchFaults(config);

  await using undo = new AsyncDisposableStack();
  const data = undo.use(
    await openDataDirectory(config.dataDirectory).catch((cause: unknown) => {
      throw isDiskFull(cause) ? diskFull(config.dataDirectory, cause) : cause;
    }),
  );
  const notifier = new Notifier();
  const store = undo.use(await openDatabase(config, data.databasePath, { clock, notifier }));
  if (config.database.kind === 'postgres') {
    undo.use(await startRelay(config.database.url, notifier));
  }
  await recordLife(store, terms);
  if (config.fleet !== 'open') await forgetPresence(store);

  const stopping = new AbortController();
  const vault = new Vault(data.masterKey);
  const repositories = await Repositories.open(data.repositoriesPath);
  const parser = undo.use(new WorkflowParser(stopping.signal));
  const archive = new LogArchive(data.objectsPath);
  const { elsewhere, fleet, sourceStallMs: stallMs, sweepMs, version } = config;
  const source = undo.use(new SourceServer({ store, repositories, stallMs }));
  await source.recoverViews();
  undo.use(startSweeper({ store, terms, archive, source, sweepMs, fleet, reportFault }));
  const isPersonal = config.personal;
  const shared = { store, vault, stopping: stopping.signal, reportFault };
  const actions = new ActionServer({ ...shared, repositories, parser, stallMs, isPersonal });
  undo.use(
    await serveAgents(data.agentSocketPath, { ...shared, terms, isPersonal, source, actions }),
  );

  const intake = new RunIntake(store, fleet !== 'none');
  const apiParts: ApiParts = {
    ...shared,
    ...{ repositories, parser, elsewhere, isPersonal, archive, version, fleet, intake },
  };
  const apiUrl = await serveApi(undo, apiParts, data, config.listen);
  // First of all: long polls and streams end, or closing servers would wait for them.
  undo.defer(() => stopping.abort());
  const owned = undo.move();
  return {
    dataDirectory: data.path,
    apiSocketPath: data.apiSocketPath,
    agentSocketPath: data.agentSocketPath,
    apiUrl,
    apiToken: data.apiToken,
    apiTokenPath: data.apiTokenPath,
    schemaRevision: store.schemaRevision,
    broken,
    closeIfIdle: async () => await intake.closeIfIdle(),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** Faults go to the log. On a full disk an embedded database cannot go on; a server's may have room again. */
function watchFaults({ log, dataDirectory, database }: CompleteConfig): {
  reportFault: (error: unknown, where: string) => void;
  broken: AbortSignal;
} {
  const broken = new AbortController();
  return {
    reportFault: (error, where) => {
      const isEnd = database.kind === 'pglite' && isDiskFull(error);
      // Every call fails on a full disk, each with other words; it is told once.
      if (!isEnd || !broken.signal.aborted) log?.(`${where}: ${explainError(error)}`);
      if (isEnd) broken.abort(diskFull(dataDirectory, error));
    },
    broken: broken.signal,
  };
}

async function openDatabase(
  config: Pick<ControlPlaneConfig, 'database'>,
  embeddedPath: string,
  parts: { clock: Clock; notifier: Notifier },
): Promise<Store> {
  if (config.database.kind === 'postgres') return await openStore(config.database, parts);
  const path = dirname(embeddedPath);
  await prepareEmbeddedDatabase(embeddedPath).catch((cause: unknown) => {
    throw isDiskFull(cause) ? diskFull(path, cause) : cause;
  });
  try {
    return await openStore({ kind: 'pglite', directory: embeddedPath }, parts);
  } catch (cause) {
    if (isDiskFull(cause)) throw diskFull(path, cause);
    if (cause instanceof ControlPlaneError) throw cause;
    throw corruptDatabase(embeddedPath, 'PostgreSQL cannot open it', cause);
  }
}

async function serveApi(
  undo: AsyncDisposableStack,
  parts: ApiParts,
  data: { apiToken: string; apiSocketPath: string },
  listen: ControlPlaneConfig['listen'],
): Promise<string | undefined> {
  const { apiToken, apiSocketPath } = data;
  const serve = async (
    app: FastifyInstance,
    at: { path: string } | { host: string; port: number },
  ) => {
    undo.defer(async () => await app.close());
    await app.listen(at).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EADDRINUSE' || !('port' in at)) throw cause;
      throw new ControlPlaneError(
        'port_in_use',
        `The address ${at.host}:${at.port} is taken by another program. Choose another port.`,
        { cause },
      );
    });
  };
  let apiUrl: string | undefined;
  if (listen !== undefined) {
    const names = ['localhost', '127.0.0.1', '[::1]', bracketed(listen.host)];
    const allowedHosts = [...names, ...(listen.allowedHosts ?? [])].map((one) => one.toLowerCase());
    const app = createApiServer(parts, { apiToken, allowedHosts });
    await serve(app, { host: listen.host, port: listen.port });
    const { port } = app.server.address() as AddressInfo;
    apiUrl = `http://${bracketed(listen.host)}:${port}`;
  }
  // The socket comes last: when it answers, everything is there.
  const app = createApiServer(parts, { apiToken, allowedHosts: undefined });
  await serve(app, { path: apiSocketPath });
  await chmod(apiSocketPath, 0o600);
  return apiUrl;
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);
