/** An error as the public API tells it. */
import Type, { type Static } from 'typebox';

/** A place in a file of the user's. Lines and columns count from 1. */
export const Problem = Type.Object({
  file: Type.String(),
  line: Type.Integer({ minimum: 1 }),
  column: Type.Integer({ minimum: 1 }),
  message: Type.String(),
});
export type Problem = Static<typeof Problem>;

/** Body of every API answer that is not a success. */
export const ErrorBody = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    retryable: Type.Boolean(),
    problems: Type.Optional(Type.Array(Problem)),
  }),
});
export type ErrorBody = Static<typeof ErrorBody>;
