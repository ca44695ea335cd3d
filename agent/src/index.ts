/** The agent zone: what the embedded mode, tests and the agent's own entry start. */
export { WorkflowRepositories } from './actions/workflow-repositories.ts';
export { probeDrivers, probeNetwork, reapOnce, startAgent, type Agent } from './agent.ts';
export { needsImage } from './jobs/default-image.ts';
export {
  readDockerSettings,
  readFirecrackerSettings,
  readEgressSettings,
  readHostSettings,
  readPoolSettings,
  readProcessSettings,
  readQemuSettings,
} from './config/driver-settings.ts';
export type { AgentConfig } from './config/config.ts';
export type { ProbedDriver } from './drivers/choose.ts';
export { AgentError, type AgentErrorCode } from './errors.ts';
export type { NetworkProbe } from './network/probe.ts';
export type { DriverName, DriverProbe, MachineImage } from './sandbox/driver.ts';
export { unpackImage } from './host/unpacked-image.ts';
export type { JournalLine } from './sandbox/journal.ts';
export type { ReapEntry, ReapReport } from './sandbox/reaper.ts';
