/** Why a guest does not get an action, when the platform is not to blame: its sentence is for people. */

/** Each kind, and the HTTP status that tells it. */
const STATUSES = {
  not_asked_for: 400,
  refused: 403,
  not_public: 403,
  no_repository: 404,
  no_version: 404,
  too_large: 413,
  used_up: 429,
  unreachable: 502,
  too_slow: 504,
} as const;

type Kind = keyof typeof STATUSES;

export class ActionUnavailable extends Error {
  override readonly name = 'ActionUnavailable';
  readonly kind: Kind;

  constructor(kind: Kind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }

  get status(): number {
    return STATUSES[this.kind];
  }
}
