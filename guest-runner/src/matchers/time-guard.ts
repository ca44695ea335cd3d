/**
 * Runs a piece of pure work and cuts it off when its time is over, even inside a regular expression
 * that backtracks without end: V8 looks for a wish to stop there too.
 *
 * The work must not mind being cut off at any point. One call costs a timer thread, so give it many
 * lines at once.
 */
import { createContext, Script } from 'node:vm';
import type { Context } from 'node:vm';

type Box = { work: () => void };

export class TimeGuard {
  private readonly box: Box = { work: () => {} };
  /** Made when it is first needed: most jobs never do. */
  private room: { context: Context; script: Script } | undefined;

  /** False: the time was over before the work was. @throws what the work throws */
  run(work: () => void, timeoutMs: number): boolean {
    this.room ??= { context: createContext(this.box), script: new Script('work()') };
    this.box.work = work;
    try {
      this.room.script.runInContext(this.room.context, { timeout: timeoutMs });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
      throw error;
    }
  }
}
