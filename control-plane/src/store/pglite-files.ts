/**
 * The files of PGlite, below its file system layer: between Emscripten's NODEFS and the disk.
 *
 *     opening --keep--> kept
 *        \----undo----> sealed      every change since the opening is taken back
 *
 * Promises: `undo` leaves the folder with the names and bytes it had, because PostgreSQL writes
 * (control file, log, lock file) before it notices damage; a sync reaches the disk; the reason why
 * the system refused a write is known, which PostgreSQL's own message may not say.
 *
 * What is overwritten while opening is kept in `<folder>.opening`, which costs as much as PostgreSQL
 * writes: nothing after a clean stop, what recovery repairs after a crash. One that a killed process
 * left is of no use to anybody: the start after it recovers from the log again.
 */
import { fsyncSync, lstatSync, closeSync } from 'node:fs';
import { NodeFS } from '@electric-sql/pglite/nodefs';
import { FileUndo } from './file-undo.ts';

type Node = { readonly parent: Node };
type Stream = { readonly node: Node; readonly nfd: number; shared: { refcount: number } };
type Attributes = { size?: number; mode?: number };
/** Emscripten's NODEFS, as far as it is used here (emscripten/src/lib/libnodefs.js). */
type NodeFiles = {
  realPath(node: Node): string;
  node_ops: {
    setattr(node: Node, attributes: Attributes): void;
    mknod(parent: Node, name: string, mode: number, device: number): Node;
    rename(node: Node, parent: Node, name: string): void;
    unlink(parent: Node, name: string): void;
    rmdir(parent: Node, name: string): void;
  };
  stream_ops: {
    open(stream: Stream): void;
    close(stream: Stream): void;
    setattr(stream: Stream, attributes: Attributes): void;
    write(stream: Stream, from: Uint8Array, at: number, length: number, position: number): number;
    fsync?(stream: { nfd?: number }): number;
  };
};
type Module = {
  NODEFS: NodeFiles;
  FS: { ErrnoError: new (errno: number) => Error };
};

/** What the module imports, as far as it is used here (emscripten/src/lib/libcore.js). */
type Imports = { env: { _setitimer_js: (which: number, ms: number) => number } };

type Instantiate = (imports: Imports, done: unknown) => object;

/** Numbers of WASI, which Emscripten's libc uses. */
const EACCES = 2;
const EDQUOT = 19;
const EIO = 29;
const ENOSPC = 51;
const EPERM = 63;
const EROFS = 69;
const FULL: readonly unknown[] = [ENOSPC, EDQUOT];
const UNWRITABLE: readonly unknown[] = [EACCES, EPERM, EROFS];

export class PgliteFiles extends NodeFS {
  /** Why a write was refused last. */
  refusal: 'disk full' | 'not writable' | undefined;
  /** Called after each sync that reached the disk. */
  onSync: (() => void) | undefined;
  readonly #open = new Set<number>();
  #undo: FileUndo | undefined;
  readonly #stopTimers = new Map<number, () => void>();
  #sealed = false;

  constructor(folder: string) {
    super(folder);
    this.#undo = new FileUndo(`${this.rootDir}.opening`);
  }

  override async init(
    ...[pglite, options]: Parameters<NodeFS['init']>
  ): ReturnType<NodeFS['init']> {
    const { emscriptenOpts } = await super.init(pglite, options);
    // Before the folder is mounted: its root already has the guarded operations.
    const guard = (module: unknown): void => this.#guard(module as Module);
    const preRun = [guard, ...preRunOf(emscriptenOpts)];
    const instantiate = emscriptenOpts['instantiateWasm'] as Instantiate | undefined;
    if (instantiate === undefined) return { emscriptenOpts: { ...emscriptenOpts, preRun } };
    const instantiateWasm: Instantiate = (imports, done) => {
      this.#watchTimers(imports);
      return instantiate(imports, done);
    };
    return { emscriptenOpts: { ...emscriptenOpts, preRun, instantiateWasm } };
  }

  /** The database is sound: changes stay. */
  keep(): void {
    this.#undo?.keep();
    this.#undo = undefined;
  }

  /** The database is refused: it becomes what it was. Nothing is written through this any more. */
  undo(): void {
    this.seal();
    this.#undo?.undo();
    this.#undo = undefined;
  }

  /** Closes what PostgreSQL holds open and stops its timers, for one that ended without doing so. */
  seal(): void {
    for (const stop of this.#stopTimers.values()) stop();
    this.#stopTimers.clear();
    this.#sealed = true;
    for (const descriptor of this.#open) closeSync(descriptor);
    this.#open.clear();
  }

  /** PostgreSQL's timers are Node's: forgotten ones would keep the process for a minute. */
  #watchTimers({ env }: Imports): void {
    const { _setitimer_js: set } = env;
    env._setitimer_js = (which, ms) => {
      // One of 0 ms is none.
      this.#stopTimers.set(which, () => set(which, 0));
      return set(which, ms);
    };
  }

  #guard({ NODEFS, FS }: Module): void {
    const change = <T>(apply: () => T): T => {
      if (this.#sealed) throw new FS.ErrnoError(EIO);
      try {
        return apply();
      } catch (error) {
        const errno = errnoOf(error);
        if (FULL.includes(errno)) this.refusal = 'disk full';
        if (UNWRITABLE.includes(errno)) this.refusal = 'not writable';
        if (error instanceof FS.ErrnoError) throw error;
        // Keeping the old bytes failed, outside of NODEFS's own translation.
        throw new FS.ErrnoError(FULL.includes(errno) ? ENOSPC : EIO);
      }
    };
    this.#guardNames(NODEFS, change);
    this.#guardStreams(NODEFS.stream_ops, change, (node) => NODEFS.realPath(node));
  }

  #guardNames(files: NodeFiles, change: <T>(apply: () => T) => T): void {
    const original = { ...files.node_ops };
    const at = (parent: Node, name: string): string => `${files.realPath(parent)}/${name}`;
    Object.assign(files.node_ops, {
      setattr: (node, attributes) =>
        change(() => {
          this.#undo?.beforeAttributes(files.realPath(node), attributes.size);
          original.setattr(node, attributes);
        }),
      mknod: (parent, name, mode, device) =>
        change(() => {
          const path = at(parent, name);
          const node = original.mknod(parent, name, mode, device);
          this.#undo?.afterCreation(path);
          return node;
        }),
      rename: (node, parent, name) =>
        change(() => {
          this.#undo?.beforeRename(files.realPath(node), at(parent, name));
          original.rename(node, parent, name);
        }),
      unlink: (parent, name) =>
        change(() => {
          if (this.#undo === undefined) original.unlink(parent, name);
          else this.#undo.unlink(at(parent, name));
        }),
      rmdir: (parent, name) =>
        change(() => {
          const { mode } = lstatSync(at(parent, name));
          original.rmdir(parent, name);
          this.#undo?.afterFolderRemoval(at(parent, name), mode);
        }),
    } satisfies NodeFiles['node_ops']);
  }

  #guardStreams(
    operations: NodeFiles['stream_ops'],
    change: <T>(apply: () => T) => T,
    pathOf: (node: Node) => string,
  ): void {
    const original = { ...operations };
    Object.assign(operations, {
      open: (stream) => {
        original.open(stream);
        this.#open.add(stream.nfd);
      },
      close: (stream) => {
        if (this.#sealed) return;
        original.close(stream);
        if (stream.shared.refcount === 0) this.#open.delete(stream.nfd);
      },
      setattr: (stream, attributes) =>
        change(() => {
          this.#undo?.beforeAttributes(pathOf(stream.node), attributes.size);
          original.setattr(stream, attributes);
        }),
      write: (stream, from, at, length, position) =>
        change(() => {
          this.#undo?.beforeWrite(pathOf(stream.node), stream.nfd, position, length);
          return original.write(stream, from, at, length, position);
        }),
      fsync: ({ nfd }) => this.#sync(nfd),
    } satisfies NodeFiles['stream_ops']);
  }

  #sync(descriptor: number | undefined): number {
    // Folders have no descriptor here; the kernel orders their entries before a synced file's data.
    if (descriptor === undefined) return 0;
    try {
      fsyncSync(descriptor);
      this.onSync?.();
      return 0;
    } catch (error) {
      if (!FULL.includes(errnoOf(error))) return EIO;
      this.refusal = 'disk full';
      return ENOSPC;
    }
  }
}

type EmscriptenOptions = Awaited<ReturnType<NodeFS['init']>>['emscriptenOpts'];

const preRunOf = ({ preRun = [] }: EmscriptenOptions) => [preRun].flat();

/** WASI's number of what Emscripten or Node threw; undefined for all others. */
function errnoOf(error: unknown): number | undefined {
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  if (code === 'ENOSPC') return ENOSPC;
  if (code === 'EDQUOT') return EDQUOT;
  return typeof errno === 'number' ? errno : undefined;
}
