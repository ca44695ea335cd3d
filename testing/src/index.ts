/** The whole constellation in one process, for tests, end-to-end tests and benchmarks. */
export { makeCheckout, type TestCheckout } from './checkout.ts';
export {
  NOTHING_KEPT,
  startConstellation,
  TEST_CACHE,
  type Constellation,
  type ConstellationOptions,
  type EndedRun,
  type RunRequest,
} from './constellation.ts';
export { eventually } from './eventually.ts';
export { GitForge, type ForgeRepository, type ForgeRequest } from './git-forge.ts';
export {
  assertBuried,
  checkHostAfterEach,
  filesBelow,
  listProcesses,
  naming,
  ofSandboxes,
  peakMemoryBytes,
  sandboxIdsIn,
} from './host-watch.ts';
export {
  assertNothingStayed,
  assertTestsLeaveNothing,
  EXIT_SOMETHING_STAYED,
  INVENTORY,
  NOTHING_STAYED,
  runProgram,
  runWatched,
} from './inventory.ts';
export { portlessDatagram } from './portless-datagram.ts';
export { spawnAgent, type AgentProcessConfig, type SpawnedAgent } from './spawn-agent.ts';
