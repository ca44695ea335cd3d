/** Scripts of the network tools, run within a sandbox's network namespace; what fails is said. */
import { AgentError } from '../errors.ts';
import { runNetworkTool } from '../host/network-tool.ts';
import type { ToolResult } from '../host/short-tool.ts';

/** @throws AgentError `network_failed` */
export async function runInside(
  namespacePath: string,
  what: string,
  input: string,
  signal: AbortSignal,
): Promise<void> {
  const enter = [`--net=${namespacePath}`, '--', 'sh', '-e'];
  assertDone(what, await runNetworkTool('nsenter', enter, { input, signal }));
}

/** @throws AgentError `network_failed` */
export function assertDone(what: string, result: ToolResult): void {
  if (result.exitCode === 0) return;
  const said = result.standardError.trim() || result.standardOutput.trim();
  const why = said !== '' ? said : result.timedOut ? 'it hangs' : `exit status ${result.exitCode}`;
  throw new AgentError(
    'network_failed',
    `The network of a sandbox could not be made (${what}): ${why.slice(0, 1000)}. What this host lacks: onejob doctor`,
  );
}
