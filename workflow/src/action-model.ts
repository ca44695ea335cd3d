/** An action's metadata file (`action.yml`) as data, for the guest runner. */
import type { CompiledStep, ExprNode, Template } from '@onejob/protocol';

export type ActionInput = {
  /** As written. Names compare without case. */
  name: string;
  /** null: none. */
  default: Template;
  /** Shown when the input is given; null: the input is not deprecated. */
  deprecation: string | null;
};

/** A script beside the main one, and when it runs. */
export type ActionScript = { file: string; condition: ExprNode };

export type ActionRuns =
  /** `using` in lower case, as written: `node20`. Files are relative to the action's directory. */
  | {
      kind: 'node';
      using: string;
      main: string;
      pre: ActionScript | null;
      post: ActionScript | null;
    }
  | { kind: 'composite'; steps: CompiledStep[] }
  | { kind: 'docker' };

export type ActionManifest = {
  /** Path of the file, for messages. */
  file: string;
  name: string;
  inputs: ActionInput[];
  /** Of a composite action, with their values; other actions set theirs themselves. */
  outputs: { name: string; value: Template }[];
  runs: ActionRuns;
};
