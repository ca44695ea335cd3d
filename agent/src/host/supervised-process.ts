/**
 * Processes that cannot outlive the agent. Each is started behind `setpriv --pdeathsig KILL`, so
 * the kernel kills it when we die, however we die. What a sandbox runs never sees the agent's own
 * environment: only what is given here, and the two marker variables.
 *
 * Each leads a process group. What of the group is there when it ends goes with it: where there is no PID
 * namespace, that finds processes that have dropped the markers.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { SandboxId } from '@onejob/protocol';
import { HOST_VARIABLE, SANDBOX_VARIABLE } from './processes.ts';

/** Output kept of a supervised process, for the message when it fails. */
const TAIL_BYTES = 16 * 1024;
/** Its last words are in the pipe when it ends, but whoever inherited the pipe may keep it open. */
const LAST_WORDS_MS = 100;

export type ProcessExit = { code: number | null; signal: NodeJS.Signals | null };

export type SupervisedProcess = {
  readonly pid: number | undefined;
  /** Settles once, also when the program could not be started (code 127). */
  readonly exited: Promise<ProcessExit>;
  /** The last output, standard error included. */
  tail(): string;
  kill(): void;
};

export function superviseProcess(options: {
  command: string;
  args: readonly string[];
  hostMarker: string;
  sandboxId: SandboxId;
  environment: Readonly<Record<string, string>>;
  directory: string;
  /** What it reads on standard input, or a descriptor of ours that has it; by default nothing. */
  input?: string | number;
  /** Told of standard output as it comes; without it the tail has it. */
  onOutput?: (chunk: Buffer) => void;
  /** Called when more of standard error is in the tail. */
  onError?: () => void;
  /** Of ours, which it gets as descriptors 3, 4, ... */
  descriptors?: readonly number[];
}): SupervisedProcess {
  const markers = { [SANDBOX_VARIABLE]: options.sandboxId, [HOST_VARIABLE]: options.hostMarker };
  const child: ChildProcess = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', '--', options.command, ...options.args],
    {
      cwd: options.directory,
      // The markers stand first: an exec may cut off what is being read of a long environment.
      env: { ...markers, ...options.environment, ...markers },
      stdio: [
        typeof options.input === 'string' ? 'pipe' : (options.input ?? 'ignore'),
        ...['pipe' as const, 'pipe' as const, ...(options.descriptors ?? [])],
      ],
      // A group of its own: the terminal's Ctrl-C is for us to handle, not for the machine.
      detached: true,
    },
  );
  child.stdin?.on('error', () => {}); // it ended without reading: its end says why
  child.stdin?.end(options.input);
  child.once('exit', () => killLeftOfGroup(child));
  let tail = Buffer.alloc(0);
  const keep = (chunk: Buffer): void => {
    tail = Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
  };
  child.stdout?.on('data', options.onOutput ?? keep);
  child.stderr?.on('data', keep);
  if (options.onError !== undefined) child.stderr?.on('data', options.onError);
  const exited = new Promise<ProcessExit>((resolve) => {
    child.on('error', (error) => {
      if (child.pid !== undefined) return; // a signal could not be sent: it still runs
      keep(Buffer.from(`${options.command}: ${error.message}\n`));
      resolve({ code: 127, signal: null });
    });
    child.once('exit', (code, signal) => {
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve({ code, signal });
      }, LAST_WORDS_MS);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
  });
  return {
    pid: child.pid,
    exited,
    tail: () => tail.toString('utf8'),
    kill: () => killGroup(child),
  };
}

/** Only while it was not waited for: its number may be somebody else's from then on. */
function killGroup(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) signalGroup(child);
}

/** Said at once when it ends: as long as somebody is in the group, nobody else gets its number. */
const killLeftOfGroup = (child: ChildProcess): void => signalGroup(child);

function signalGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // nobody is in it
  }
}
