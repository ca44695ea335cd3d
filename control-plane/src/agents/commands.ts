/**
 * What an agent was told. A pending command is in every heartbeat's answer, so a lost answer costs
 * one heartbeat; but only one that was not told yet ends a long poll early, or an agent with a
 * cancelled job would poll as fast as it can. An agent that gets a lease drops the heartbeat under
 * way and begins another that names it, so with a new lease everything is told once more.
 */
import type { AgentCommand } from '../leases/extend-leases.ts';

type LeaseKey = Pick<AgentCommand, 'jobId' | 'attempt' | 'epoch'>;

const leaseKey = ({ jobId, attempt, epoch }: LeaseKey): string => `${jobId} ${attempt} ${epoch}`;
const commandKey = (command: AgentCommand): string =>
  `${leaseKey(command)} ${command.kind} ${command.kind === 'cancel' && command.kill ? 'kill' : ''}`;

type Told = { leases: ReadonlySet<string>; commands: ReadonlySet<string> };

/** Remembers per agent the leases and commands of its last answer: bounded by its leases. */
export class CommandLog {
  readonly #told = new Map<string, Told>();

  hasNews(
    agentId: string,
    leases: readonly LeaseKey[],
    commands: readonly AgentCommand[],
  ): boolean {
    const told = this.#told.get(agentId);
    if (told === undefined || commands.length === 0) return commands.length > 0;
    return (
      leases.some((lease) => !told.leases.has(leaseKey(lease))) ||
      commands.some((command) => !told.commands.has(commandKey(command)))
    );
  }

  /** The answer to a heartbeat with these leases. */
  remember(agentId: string, leases: readonly LeaseKey[], commands: readonly AgentCommand[]): void {
    if (commands.length === 0) this.#told.delete(agentId);
    else {
      this.#told.set(agentId, {
        leases: new Set(leases.map(leaseKey)),
        commands: new Set(commands.map(commandKey)),
      });
    }
  }
}

type LeaseId = { jobId: string; attempt: number; epoch: bigint };
type CommandMessage = LeaseId & {
  what:
    | { case: 'fenced'; value: Record<string, never> }
    | { case: 'cancel'; value: { reason: string; graceMs: number; kill: boolean } };
};

/** The message of a command. */
export function toCommand(command: AgentCommand): CommandMessage {
  const lease: LeaseId = {
    jobId: command.jobId,
    attempt: command.attempt,
    epoch: BigInt(command.epoch),
  };
  if (command.kind === 'fenced') return { ...lease, what: { case: 'fenced', value: {} } };
  const { reason, graceMs, kill } = command;
  return { ...lease, what: { case: 'cancel', value: { reason, graceMs, kill } } };
}
