/** What a lint rule is and what it finds. */
import type { Position } from '@onejob/protocol';
import type { Workflow } from '../model.ts';
import type { Places } from './places.ts';
import type { Site } from './sites.ts';

/** `error`: it does not do what it says, or is dangerous. `warning`: it works, and could be safer or shorter. */
export type Severity = 'error' | 'warning';

export type Finding = {
  file: string;
  line: number;
  column: number;
  severity: Severity;
  message: string;
  /** The name of the rule, as docs/lint.md lists it. */
  rule: string;
};

export type LintInput = {
  workflow: Workflow;
  /** Every expression of the file. */
  sites: readonly Site[];
  places: Places;
};

export type Found = { at: Position; severity: Severity; message: string };

/** A rule says something only where it is sure: what depends on values of a run it leaves alone. */
export type Rule = { name: string; check: (input: LintInput) => Found[] };
