// The two secrets that are switches: they ask for debug logging, and masking `true` everywhere would
// make its log unreadable. GitHub's runner leaves their values as they are (`Worker.cs`); here only where
// the value is a switch's, so that anything else put there by mistake stays hidden.

const SWITCHES = new Set(['ACTIONS_RUNNER_DEBUG', 'ACTIONS_STEP_DEBUG']);

/** Whether the value of the secret with this name is nothing to hide. */
export const isDebugSwitch = (name: string, value: string): boolean =>
  SWITCHES.has(name.toUpperCase()) && /^(?:true|false)$/i.test(value.trim());
