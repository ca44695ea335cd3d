// The public surface of the masking zone: find secrets in a byte stream and hide them.

export { maxSecretStates } from './limits.ts';
export { isDebugSwitch } from './debug-switch.ts';
export type { MaskStream } from './mask-stream.ts';
export { MaskingError, type MaskingErrorCode } from './masking-error.ts';
export { SecretMasker, type SecretMaskerOptions } from './secret-masker.ts';
