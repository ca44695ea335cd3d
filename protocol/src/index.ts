/** Everything that crosses a border between zones. The zone's one list of exports. */
export * from './api.ts';
export * from './egress.ts';
export * from './errors.ts';
export * from './expression.ts';
export * from './guest.ts';
export * from './ids.ts';
export * from './limits.ts';
export * from './states.ts';
export * from './task.ts';
