/** The control plane's one list of exports. */
export type { ControlPlaneConfig } from './config/config.ts';
export { type ControlPlane, startControlPlane } from './control-plane.ts';
export { ControlPlaneError, type ControlPlaneErrorCode } from './errors.ts';
export type { TenantLimits } from './leases/lease-terms.ts';
