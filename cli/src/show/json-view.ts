/** One JSON object a line, as the API streams it; the last line has type `finished`. */
import type { RunView } from './run-view.ts';

export function jsonView(write: (line: string) => void): RunView {
  const line = (value: unknown): void => write(JSON.stringify(value));
  return {
    begin: () => {},
    event: line,
    say: (message) => line({ type: 'message', message }),
    warn: (warning) => line({ type: 'warning', ...warning }),
    close: () => {},
    finish: (runs) => line({ type: 'finished', runs }),
  };
}
