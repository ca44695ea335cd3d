/**
 * The protocol's names as values. The protocol module that owns them loads a schema library, which
 * the guest must not; the types make a difference between the two a compile error.
 */
import type { GUEST_PATHS as Paths, GUEST_PROTOCOL as Protocol } from '@onejob/protocol';

export const GUEST_PROTOCOL: typeof Protocol = 'onejob.guest.v1';
export const GUEST_PATHS: typeof Paths = {
  hello: '/onejob.guest.v1/hello',
  control: '/onejob.guest.v1/control',
  logs: '/onejob.guest.v1/logs',
  source: '/source/',
};
/** Header of a refused CONNECT: why, for people. */
export const EGRESS_REASON_HEADER = 'onejob-egress-reason';
