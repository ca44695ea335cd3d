/** Starts agent-process.ts and listens to it. Disposing kills what is left of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AgentConfig, JournalLine, MachineImage } from '@onejob/agent';

const ENTRY = fileURLToPath(new URL('agent-process.ts', import.meta.url));

export type AgentProcessConfig = Omit<AgentConfig, 'image' | 'onJournalLine' | 'warn'> & {
  image: MachineImage | null;
  /** Kills itself when any journal has this many lines; 0: never. */
  dieAtLine: number;
  /** Kills itself at the first such line of a machine that waited for its job. */
  dieWaitedAt?: JournalLine['entry'];
};

export type AgentSaying =
  | { saw: 'line'; line: JournalLine; count: number }
  | { saw: 'announced' }
  | { saw: 'waiting'; machines: number };

export type AgentExit = { code: number | null; signal: NodeJS.Signals | null };

export type SpawnedAgent = AsyncDisposable & {
  readonly pid: number;
  /** The control plane knows it. Rejects with its last words when it ends before. */
  readonly announced: Promise<void>;
  readonly exited: Promise<AgentExit>;
  /** Journal lines so far, of all its sandboxes. */
  readonly lines: readonly JournalLine[];
  /** Machines that wait for jobs now. */
  waiting(): number;
  /** What its operator was told last. */
  warnings(): string;
  kill(signal: NodeJS.Signals): void;
  /** Stops it in order. Throws when it does not end well. */
  stop(): Promise<void>;
};

export function spawnAgent(config: AgentProcessConfig): SpawnedAgent {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-test-agent-'));
  const file = join(directory, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [ENTRY, file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: JournalLine[] = [];
  let words = '';
  let waiting = 0;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-10_000);
  });
  const announced = Promise.withResolvers<void>();
  announced.promise.catch(() => {}); // not every test asks
  createInterface({ input: child.stdout }).on('line', (text) => {
    const saying = JSON.parse(text) as AgentSaying;
    if (saying.saw === 'line') lines.push(saying.line);
    else if (saying.saw === 'waiting') waiting = saying.machines;
    else announced.resolve();
  });
  const exited = once(child, 'close').then(async ([code, signal]): Promise<AgentExit> => {
    announced.reject(new Error(`The agent ended (${code ?? signal}). It said: ${words}`));
    await rm(directory, { recursive: true, force: true });
    return { code, signal };
  });
  return {
    pid: child.pid ?? 0,
    announced: announced.promise,
    exited,
    lines,
    waiting: () => waiting,
    warnings: () => words,
    kill: (signal) => void child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM');
      const { code, signal } = await exited;
      if (code !== 0) throw new Error(`The agent ended with ${code ?? signal}: ${words}`);
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
