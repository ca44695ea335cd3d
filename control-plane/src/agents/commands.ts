/**
 * What an agent was told. A pending command is in every heartbeat's answer, so a lost answer costs
 * one heartbeat; but only one that was not told yet ends a long poll early, or an agent with a
 * cancelled job would poll as fast as it can.
 */
import type { AgentCommand } from '../leases/extend-leases.ts';

const keyOf = (command: AgentCommand): string =>
  [
    command.jobId,
    command.attempt,
    command.epoch,
    command.kind,
    command.kind === 'cancel' && command.kill ? 'kill' : '',
  ].join(' ');

/** Remembers per agent the commands of its last answer: bounded by its leases. */
export class CommandLog {
  readonly #told = new Map<string, ReadonlySet<string>>();

  hasNews(agentId: string, commands: readonly AgentCommand[]): boolean {
    const told = this.#told.get(agentId);
    return commands.some((command) => told?.has(keyOf(command)) !== true);
  }

  remember(agentId: string, commands: readonly AgentCommand[]): void {
    if (commands.length === 0) this.#told.delete(agentId);
    else this.#told.set(agentId, new Set(commands.map(keyOf)));
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
