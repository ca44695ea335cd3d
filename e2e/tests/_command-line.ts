/**
 * The real command line as a user types it: `onejob ...` in a directory, with a data directory of
 * its own, in a pipe or on a terminal. Disposing it checks that no process and no file of a job is
 * left, whatever the test did.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { giveBackDataDirectory, makeDataDirectory } from '@onejob/testing/data-directory';

export const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'src', 'main.ts');
/** Far above what a command takes on a busy machine: only a hang meets it. */
const HANG_MS = 120_000;
/** As long as a file of tests may take. */
const SERVED_MS = 300_000;

export type Place = {
  directory?: string;
  environment?: Record<string, string>;
  input?: string;
  /** When a command counts as hung. */
  hangMs?: number;
};

export type Ended = { code: number | null; signal: string | null; stdout: string; stderr: string };

export class StartedCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';
  #news = Promise.withResolvers<void>();

  constructor(child: ChildProcess, input: string | undefined, hangMs = HANG_MS) {
    this.child = child;
    child.stdout?.on('data', (chunk: Buffer) =>
      this.#add(() => (this.#stdout += chunk.toString())),
    );
    child.stderr?.on('data', (chunk: Buffer) =>
      this.#add(() => (this.#stderr += chunk.toString())),
    );
    child.stdin?.on('error', () => {});
    if (input !== undefined) child.stdin?.end(input);
    const hang = setTimeout(() => child.kill('SIGKILL'), hangMs);
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        clearTimeout(hang);
        this.#add(() => {});
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  get output(): string {
    return this.#stdout + this.#stderr;
  }

  /** Waits until the output matches; fails with the output when the command ends before. */
  async saw(pattern: RegExp): Promise<void> {
    let isOver = false;
    const over = this.ended.then(() => (isOver = true));
    while (!pattern.test(this.output)) {
      assert.ok(!isOver, `ended without ${pattern}:\n${this.output}`);
      await Promise.race([this.#news.promise, over]);
    }
  }

  #add(change: () => void): void {
    change();
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

export class CommandLine implements AsyncDisposable {
  readonly data: string;
  readonly #base: string;
  #isPrepared = false;
  #platform: StartedCommand | undefined;

  /** With an empty data directory that is there already: its first use takes seconds less. */
  static async prepared(): Promise<CommandLine> {
    const line = new CommandLine();
    await makeDataDirectory(line.data);
    line.#isPrepared = true;
    return line;
  }

  /** With a platform that is up: a command that joins it takes a third of the time. */
  static async served(environment: Record<string, string> = {}): Promise<CommandLine> {
    const line = await CommandLine.prepared();
    line.#platform = line.start(['up', '--pool', '0'], { environment, hangMs: SERVED_MS });
    await line.#platform.saw(/^onejob is up\./m);
    return line;
  }

  constructor() {
    this.#base = mkdtempSync(join(tmpdir(), 'onejob-cli-'));
    this.data = join(this.#base, 'data');
  }

  /** A file beside the data directory; answers its path. */
  write(name: string, content: string): string {
    const path = join(this.#base, name);
    writeFileSync(path, content);
    return path;
  }

  start(words: readonly string[], place: Place = {}): StartedCommand {
    const child = spawn(process.execPath, [MAIN, ...words], {
      cwd: place.directory ?? this.#base,
      env: this.#environment(place),
    });
    return new StartedCommand(child, place.input ?? '', place.hangMs);
  }

  async run(words: readonly string[], place: Place = {}): Promise<Ended> {
    return await this.start(words, place).ended;
  }

  /** The same on a terminal of the given size; input is what is typed. */
  onTerminal(
    words: readonly string[],
    { columns = 80, rows = 24, ...place }: Place & { columns?: number; rows?: number } = {},
  ): StartedCommand {
    const command = [process.execPath, MAIN, ...words].map((word) => `'${word}'`).join(' ');
    const script = `stty cols ${columns} rows ${rows}; exec ${command}`;
    const child = spawn('script', ['--quiet', '--return', '--flush', '-c', script, '/dev/null'], {
      cwd: place.directory ?? this.#base,
      env: { ...this.#environment(place), SHELL: '/bin/sh', ...place.environment },
    });
    return new StartedCommand(child, undefined);
  }

  /** Processes that have this data directory in their command line or environment. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((pid) => {
        const read = (file: string): string => {
          try {
            return readFileSync(`/proc/${pid}/${file}`, 'latin1');
          } catch {
            return ''; // gone, or not ours to read
          }
        };
        const line = read('cmdline');
        const isOurs = line.includes(this.#base) || read('environ').includes(this.#base);
        return isOurs ? [`${pid} ${line.replaceAll('\0', ' ')}`] : [];
      });
  }

  /** Has a command begun to make the data directory? */
  hasData(): boolean {
    return existsSync(join(this.data, 'VERSION'));
  }

  /** Sandboxes and journals that nobody has buried. */
  sandboxes(): string[] {
    return ['sandboxes', 'journals'].flatMap((name) => {
      try {
        return readdirSync(join(this.data, 'agent', name)).map((one) => `${name}/${one}`);
      } catch {
        return [];
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#platform?.child.kill('SIGINT');
    await this.#platform?.ended;
    // A process that was told to end may need a moment to be gone.
    for (let turn = 0; turn < 100 && this.processes().length > 0; turn += 1) await sleep(50);
    const left = [...this.processes(), ...this.sandboxes()];
    if (this.#isPrepared) giveBackDataDirectory(this.data);
    rmSync(this.#base, { recursive: true, force: true });
    assert.deepEqual(left, [], 'something is left');
  }

  #environment(place: Place): NodeJS.ProcessEnv {
    const { NO_COLOR: _, ...rest } = process.env;
    return { ...rest, TERM: 'xterm-256color', ONEJOB_DATA_DIR: this.data, ...place.environment };
  }
}

/** Every line as JSON. */
export const jsonLines = <T>(text: string): T[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);

/** A refusal as issue 2 wants it: one screen, no insides of ours, the exit code, and every word. */
export function checkRefusal(ended: Ended, expected: number, ...words: RegExp[]): void {
  const said = ended.stdout + ended.stderr;
  assert.equal(ended.code, expected, said);
  assert.ok(said.split('\n').length < 25, `more than a screen:\n${said}`);
  assert.doesNotMatch(said, /^ +at .*\d+:\d+\)?$/m, 'a stack trace');
  assert.doesNotMatch(said, /fault of onejob/);
  for (const word of words) assert.match(said, word);
}
