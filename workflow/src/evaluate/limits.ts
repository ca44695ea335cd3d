/**
 * Limits of evaluation, each with its reason. This module imports nothing: the guest runner
 * bundles it.
 */

/** Characters one expression may make or search: GitHub's evaluator stops at 10 MiB. */
export const EXPRESSION_COST = 10 * 1024 * 1024;
/** Nodes from the root to a leaf: parsing stops at GitHub's 50, and few stand around them. */
export const EXPRESSION_DEPTH = 200;
/** Nesting of what `fromJSON` reads: GitHub's JSON reader stops at 64. */
export const JSON_DEPTH = 64;
/** Nesting of what `toJSON` writes: whole contexts that hold values of `fromJSON`. */
export const VALUE_DEPTH = 256;
/** Nesting of a template: a workflow file stops at 50. */
export const TEMPLATE_DEPTH = 100;
/** Of a budget of characters, for each that the reader of loose JSON takes: it is that much slower. */
export const LOOSE_JSON_COST = 16;
/** What is told of one evaluation where debugging is on: beyond it nobody reads, and masking takes time. */
export const TRACE_CHARACTERS = 256 * 1024;
