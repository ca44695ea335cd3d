/** Limits of parsing and planning, each with its reason. */

/** YAML nodes of one file, aliases expanded: an alias bomb stops here; 256 jobs of 20 steps need 40,000. */
export const PARSE_EVENTS = 100_000;
/** YAML tokens of one file, line breaks and comments too: the largest files within PARSE_EVENTS have 250,000. */
export const PARSE_TOKENS = 300_000;
/** Expressions in one text: each is an argument of one `format()`, and GitHub's takes 255 of them. */
export const EXPRESSIONS_PER_TEXT = 254;
/** Nesting of a workflow file: GitHub's reader stops at 50. */
export const PARSE_DEPTH = 50;
/**
 * Characters that all expressions of a request, or of one step of a run, may make or search: six
 * times what GitHub gives one of them, and some 50 ms of a processor.
 */
export const PLAN_COST = 64 * 1024 * 1024;
/** Steps of one job: the guest protocol numbers them up to here. */
export const STEPS_PER_JOB = 4096;
/** Levels of called workflows below the first, which makes ten: GitHub's limit. */
export const CALLED_LEVELS = 9;
/** Different workflow files that one calls, directly or through others: GitHub's limit. */
export const CALLED_WORKFLOWS = 50;
/** Errors shown of one file: GitHub shows 10; what is more is counted. */
export const PROBLEMS_SHOWN = 10;
/** Errors kept of one file while parsing: more are only counted. */
export const PROBLEMS_KEPT = 1000;
/** Characters of a user's own text repeated inside a message. */
export const QUOTED_CHARACTERS = 200;
/** Characters of one message: GitHub cuts here. */
export const MESSAGE_CHARACTERS = 500;
/** Inputs of one `workflow_dispatch`: GitHub's limit. */
export const DISPATCH_INPUTS = 25;
/** Characters of the inputs given to one, as JSON: GitHub's limit of their payload. */
export const DISPATCH_PAYLOAD_CHARACTERS = 65_535;
/** Characters of one filter pattern: longer than any branch name or path that git takes. */
export const PATTERN_CHARACTERS = 4096;
/** Characters of a job's name: GitHub cuts here. */
export const JOB_NAME_CHARACTERS = 100;
/** Characters of a run's name: more than a line shows, and enough for every title of a commit. */
export const RUN_NAME_CHARACTERS = 255;
/** Characters of a concurrency group's name: GitHub takes no more. */
export const CONCURRENCY_GROUP_CHARACTERS = 400;
/** Keys of a matrix: no more than it may have jobs. */
export const MATRIX_KEYS = 256;
/** Comparisons and copies one matrix may take: 256 jobs with a hundred filters take a tenth of it. */
export const MATRIX_WORK = 2_000_000;
/** Characters shown of a value before the run: a plan is read by people, and has many values. */
export const FORESEEN_CHARACTERS = 1000;
/** Findings of lint in one file: who has more mends the first ones first. */
export const FINDINGS_PER_FILE = 1000;
