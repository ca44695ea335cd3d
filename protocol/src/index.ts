/**
 * Everything that crosses a border between zones. The zone's one list of exports, but for the schemas
 * themselves (schemas.ts): what checks no message need not load what does.
 */
export type * from './api.ts';
export * from './egress.ts';
export type * from './error-body.ts';
export * from './errors.ts';
export * from './expression.ts';
export * from './guest.ts';
export type * from './guest-messages.ts';
export * from './ids.ts';
export * from './limits.ts';
export * from './states.ts';
export * from './task.ts';
