/** Parameters of routes, as schemas and as values. Query values are texts: converted here, once. */
import Type from 'typebox';

const WHOLE = '^(0|[1-9][0-9]{0,14})$';
export const WholeNumber = Type.String({ pattern: WHOLE });
export const RepositoryParams = Type.Object({
  tenant: Type.String({ pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,100}$' }),
  name: Type.String({ pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,100}$' }),
});
export const RunParams = Type.Object({ run: Type.String({ maxLength: 36 }) });
export const AttemptParams = Type.Object({
  run: Type.String({ maxLength: 36 }),
  attempt: Type.String({ pattern: '^[1-9][0-9]{0,3}$' }),
});
export const JobParams = Type.Object({ job: Type.String({ maxLength: 36 }) });
export const RepositoryQuery = Type.Object(
  { repository: Type.Optional(Type.String({ maxLength: 201 })) },
  { additionalProperties: false },
);
export const NoQuery = Type.Object({}, { additionalProperties: false });

export const toNumber = (text: string | undefined, fallback: number): number =>
  text === undefined ? fallback : Number(text);
