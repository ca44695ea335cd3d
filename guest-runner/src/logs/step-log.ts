/**
 * The log of one step: its processes' output and the runner's own lines, in order, as masked rows.
 *
 *     output bytes -> commands taken out -> lines of problems replaced -> masked as one stream
 *                  -> cut into rows -> LogSender
 *
 * Lines of the runner go through the same stream, so that they keep their place.
 */
import type { MaskStream, SecretMasker } from '@onejob/masking';
import { CommandScanner } from './command-scanner.ts';
import type { LogSender } from './log-sender.ts';
import { OutputLines } from './output-lines.ts';
import type { LineReader } from './output-lines.ts';
import { RowCutter } from './row-cutter.ts';

/** Each gives false where what it is told of is text. */
type CommandTaker = { take(line: string): boolean; takeLongMask(): boolean };

export class StepLog {
  private readonly sender: LogSender;
  private readonly masked: MaskStream;
  private readonly cutter: RowCutter;
  private readonly scanner: CommandScanner;
  private readonly lines: OutputLines;
  /** Whether the last byte of text was not a line end. */
  private midLine = false;
  private taker: CommandTaker | undefined;

  constructor(step: number, sender: LogSender, masker: SecretMasker) {
    this.sender = sender;
    this.masked = masker.stream();
    this.cutter = new RowCutter((text) => sender.append(step, text));
    this.lines = new OutputLines({
      text: (bytes) => this.text(bytes),
      line: (text) => this.line(text),
    });
    this.scanner = new CommandScanner({
      text: (bytes) => this.lines.push(bytes),
      command: (line) => this.taker?.take(line) ?? false,
      longMask: () => this.taker?.takeLongMask() ?? false,
    });
  }

  /** Who takes workflow commands from now on; undefined: they are text. */
  set commands(taker: CommandTaker | undefined) {
    this.taker = taker;
  }

  /** Who looks at the lines of text from now on; undefined: nobody. */
  set reader(reader: LineReader | undefined) {
    this.lines.reader = reader;
  }

  /** Output of the step's processes. */
  output(chunk: Buffer): void {
    this.scanner.push(chunk);
  }

  /** Ends the output: what was held back is shown, the next line begins afresh. */
  flush(): void {
    this.scanner.flush();
    this.lines.flush();
    this.cutter.push(this.masked.flush());
    this.cutter.flush();
    this.midLine = false;
  }

  /** A line of the runner's; may hold line ends. */
  line(text: string): void {
    this.lines.release();
    this.text(Buffer.from(this.midLine ? `\n${text}\n` : `${text}\n`));
  }

  private text(bytes: Buffer): void {
    if (this.sender.isCapped) return this.sender.drop(bytes.length);
    this.midLine = bytes.at(-1) !== 10;
    this.cutter.push(this.masked.push(bytes));
  }
}
