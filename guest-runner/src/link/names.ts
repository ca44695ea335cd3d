/**
 * The protocol's names as values. The protocol module that owns them loads a schema library, which
 * the guest must not; the types make a difference between the two a compile error.
 */
import type {
  ACTION_COMMIT_HEADER as CommitHeader,
  ACTION_ORIGIN_HEADER as OriginHeader,
  GUEST_PATHS as Paths,
  GUEST_PROTOCOL as Protocol,
  MACHINE,
} from '@onejob/protocol';

export const GUEST_PROTOCOL: typeof Protocol = 'onejob.guest.v1';
export const GUEST_PATHS: typeof Paths = {
  hello: '/onejob.guest.v1/hello',
  control: '/onejob.guest.v1/control',
  logs: '/onejob.guest.v1/logs',
  source: '/source/',
  actions: '/actions/',
  results: '/results/',
  names: '/names/',
};
export const STEERING: (typeof MACHINE)['steering'] = { resolver: '198.18.0.53', port: 54 };
export const ACTION_COMMIT_HEADER: typeof CommitHeader = 'onejob-action-commit';
export const ACTION_ORIGIN_HEADER: typeof OriginHeader = 'onejob-action-origin';
/** Header of a refused CONNECT: why, for people. */
export const EGRESS_REASON_HEADER = 'onejob-egress-reason';
