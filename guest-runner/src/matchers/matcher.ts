/**
 * One problem matcher at work: takes lines, gives what its patterns captured. Pure but for its state,
 * which is what the patterns before the last have captured from the lines before this one.
 *
 *     pattern 0 matched line n, pattern 1 line n+1, ..., the last one: a match
 *     `loop`: the last pattern may match again and again, with what the others captured
 */
import type { MatcherConfig, PatternConfig, Property } from './matcher-config.ts';

/** What the groups held. A group that took no part is empty; without a group there is no text. */
export type Captured = Partial<Record<Property, string>>;

/** What earlier patterns captured wins, even if it is empty. */
function capture(pattern: PatternConfig, groups: RegExpExecArray, earlier?: Captured): Captured {
  const captured: Captured = { ...earlier };
  for (const [name, group] of Object.entries(pattern.groups) as [Property, number][]) {
    captured[name] ??= groups[group] ?? '';
  }
  return captured;
}

export class Matcher {
  readonly owner: string;
  private readonly severity: string;
  private readonly patterns: PatternConfig[];
  /** By pattern, without the last: what it and those before it captured. */
  private running: (Captured | undefined)[] = [];

  constructor({ owner, severity, patterns }: MatcherConfig) {
    this.owner = owner;
    this.severity = severity;
    this.patterns = patterns;
  }

  reset(): void {
    this.running = [];
  }

  /** @throws what the engine throws for an expression that is too much for it */
  match(line: string): Captured | undefined {
    const last = this.patterns.length - 1;
    // Backwards, so that a line advances each pattern by what the line before it left.
    for (let i = last; i >= 0; i--) {
      const earlier = i === 0 ? undefined : this.running[i - 1];
      if (i > 0 && earlier === undefined) continue;
      const pattern = this.patterns[i]!;
      const groups = pattern.regexp.exec(line);
      if (i < last) {
        this.running[i] = groups === null ? undefined : capture(pattern, groups, earlier);
      } else if (groups !== null) {
        this.reset();
        if (pattern.loop) this.running[i - 1] = earlier;
        const captured = capture(pattern, groups, earlier);
        if (!captured.severity && this.severity !== '') captured.severity = this.severity;
        return captured;
      } else if (i > 0) {
        this.running[i - 1] = undefined;
      }
    }
    return undefined;
  }
}
