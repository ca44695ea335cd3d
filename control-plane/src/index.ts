/** The control plane's one list of exports. */
export { type ControlPlane, type ControlPlaneConfig, startControlPlane } from './control-plane.ts';
export { ControlPlaneError, type ControlPlaneErrorCode } from './errors.ts';
