/** Schemas of what crosses a border between zones, for those who check it there. */
export * from './api.ts';
export * from './error-body.ts';
export * from './guest-messages.ts';
