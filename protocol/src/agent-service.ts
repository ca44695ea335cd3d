/**
 * The agent protocol as generated from proto/onejob/agent/v1/agent.proto, and what its HTTP side
 * needs besides. Apart from the zone's main export because only agent and control plane load it.
 */
export * from './gen/onejob/agent/v1/agent_pb.js';

/** Header that carries the agent's credential after Announce. */
export const AGENT_CREDENTIAL_HEADER = 'onejob-agent';
/** Header that carries a lease's session credential on plain HTTP requests (source). */
export const SESSION_CREDENTIAL_HEADER = 'onejob-session';
