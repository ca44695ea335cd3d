/**
 * `/actions/` on the link: the files of an action from this host's mirrors, kept by commit and read
 * by all jobs. What no mirror has, the guest is told the address of, and gets it through the guard
 * like any other traffic of its job.
 *
 * The archives hold what the operator mirrors, nothing of a tenant.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import type { ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import {
  ACTION_COMMIT_HEADER,
  ACTION_URL_HEADER,
  explainError,
  type BuiltinPolicy,
} from '@onejob/protocol';
import { ACTION_ARCHIVES_KEPT, ACTION_BYTES } from '../limits.ts';
import { readActionReference, type ActionReference } from './action-reference.ts';
import { archiveAction, findInMirrors, type MirroredAction } from './mirrors.ts';

type ActionConfig = {
  actionMirrors: readonly string[];
  actionsUrl: string | null;
  builtinActions: BuiltinPolicy;
  actionsDirectory: string;
  warn: (message: string) => void;
};

const TEXT = { 'content-type': 'text/plain; charset=utf-8' } as const;

function refuse(stream: ServerHttp2Stream, status: number, why: string, url = ''): void {
  if (stream.destroyed) return;
  const place = url === '' ? {} : { [ACTION_URL_HEADER]: url };
  stream.respond({ ':status': status, ...TEXT, ...place });
  stream.end(why);
}

export class ActionSource {
  readonly #config: ActionConfig;
  /** Archives being made, by their path. */
  readonly #making = new Map<string, Promise<void>>();

  constructor(config: ActionConfig) {
    this.#config = config;
  }

  /** What a guest is told of it. */
  get offer(): { builtin: BuiltinPolicy; mirrored: boolean; serverUrl: string } {
    const { actionMirrors, actionsUrl, builtinActions } = this.#config;
    const mirrored = actionMirrors.length > 0;
    return { builtin: builtinActions, mirrored, serverUrl: actionsUrl ?? '' };
  }

  /** Answers a request of a guest. Never throws. */
  async answer(stream: ServerHttp2Stream, path: string): Promise<void> {
    const reference = readActionReference(path);
    if (reference === undefined) return refuse(stream, 400, 'This names no action.');
    try {
      const found = await findInMirrors(this.#config.actionMirrors, reference);
      if (found === undefined) {
        return refuse(stream, 404, 'No mirror of this host has it.', this.#url(reference));
      }
      await this.#send(stream, found);
    } catch (error) {
      this.#config.warn(explainError(error));
      refuse(stream, 500, 'The mirror of this host that has it cannot be read.');
    }
  }

  #url({ server, owner, repository }: ActionReference): string {
    const base = server === '' ? this.#config.actionsUrl : `https://${server}`;
    return base === null ? '' : `${base}/${owner}/${repository}`;
  }

  async #send(stream: ServerHttp2Stream, action: MirroredAction): Promise<void> {
    const { actionsDirectory } = this.#config;
    await mkdir(actionsDirectory, { recursive: true, mode: 0o700 });
    const isKept = action.kind === 'commit';
    const name = isKept ? `${action.commit}.tar` : `.draft-${randomUUID()}`;
    const archive = join(actionsDirectory, name);
    await this.#make(archive, action);
    await using file = await open(archive);
    if (!isKept) await rm(archive);
    const { size } = await file.stat();
    if (size > ACTION_BYTES) {
      return refuse(stream, 413, `It has ${size} bytes; at most ${ACTION_BYTES} are given out.`);
    }
    await respond(stream, { file, size }, isKept ? action.commit : '');
  }

  /** Once for all who ask at a time. */
  async #make(archive: string, action: MirroredAction): Promise<void> {
    const making = this.#making.get(archive) ?? this.#makeOnce(archive, action);
    this.#making.set(archive, making);
    try {
      await making;
    } finally {
      this.#making.delete(archive);
    }
  }

  async #makeOnce(archive: string, action: MirroredAction): Promise<void> {
    const now = new Date();
    // What is used again is not the oldest, which is removed.
    const isThere = await utimes(archive, now, now).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    const draft = join(this.#config.actionsDirectory, `.draft-${randomUUID()}`);
    try {
      await archiveAction(action, draft);
      await rename(draft, archive);
    } finally {
      await rm(draft, { force: true });
    }
    await this.#prune();
  }

  async #prune(): Promise<void> {
    const { actionsDirectory } = this.#config;
    const names = await readdir(actionsDirectory);
    const aged = await Promise.all(
      names.map(async (name) => {
        const found = await stat(join(actionsDirectory, name)).catch(() => undefined);
        return { name, ageMs: found === undefined ? 0 : Date.now() - found.mtimeMs };
      }),
    );
    const old = aged.toSorted((a, b) => a.ageMs - b.ageMs).slice(ACTION_ARCHIVES_KEPT);
    await Promise.all(
      old.map(async ({ name }) => await rm(join(actionsDirectory, name), { force: true })),
    );
  }
}

/** Resolves when the file was sent, or nobody wants it any more. */
async function respond(
  stream: ServerHttp2Stream,
  { file, size }: { file: FileHandle; size: number },
  commit: string,
): Promise<void> {
  if (stream.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once('close', resolve);
  const headers = {
    'content-length': size,
    'content-type': 'application/x-tar',
    [ACTION_COMMIT_HEADER]: commit,
  };
  stream.respondWithFD(file, { ':status': 200, ...headers });
  await promise;
}
