/** The zone of proofs: attacks on a sandbox, their verdicts, and signed reports of them. */
export { countPlatform, countVerdicts, isProved, type Verdict } from './judge.ts';
export { ProveError } from './errors.ts';
export { hostFacts } from './host-facts.ts';
export { ensureHostKey } from './host-key.ts';
export type { EndedProbeJob, JobWatcher, Lab, ProbeJob } from './lab.ts';
export { checkOnly, prove, type Proof } from './proof.ts';
export { contentSearch } from './content.ts';
export { findRemains } from './remains.ts';
export { REPORT_VERSION, signReport, verifyReport, type Report } from './report.ts';
export {
  findProgram,
  startContainerEngine,
  startEngineOfProof,
  whyNoEngine,
  type ContainerEngine,
} from './scene/container-engine.ts';
export { runIsolated, whyNotIsolated } from './scene/namespaces.ts';
export { setScene } from './scene/scene.ts';
export { PROOF_LABEL, WORKFLOW_FILE } from './workflow.ts';
