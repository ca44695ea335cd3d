/** The public surface of the guest runner for those who start it in a process of their own. */
export { readConfig } from './config/config.ts';
export type { GuestConfig } from './config/config.ts';
export { runGuest } from './guest.ts';
