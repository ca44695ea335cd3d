// The numbers that bound masking, each with its reason. Reaching one is an error or a documented
// rule, never a value that silently stays visible.

/**
 * Longest value that may be registered, in bytes. Forges cap a secret at 48 KiB; what is longer is
 * not a secret but a file, and its encoded forms would eat the table.
 */
export const maxValueBytes = 64 * 1024;

/**
 * States of the table of one masker, about 26 bytes each (so 110 MB when full, plus the branches).
 * A 30-character token takes about 200 states with all its forms, a PEM private key about 40,000:
 * this is 20,000 tokens or 100 keys. State numbers times 256 must stay below 2^31.
 */
export const maxTableStates = 2 ** 22;

/**
 * States that the secrets of one job may take together, for who has to know before the job: the rest is
 * for its own tokens (about 10,000 states) and a few values that it adds.
 */
export const maxSecretStates = maxTableStates - 2 ** 16;

/**
 * Shortest derived form (an encoding, a base64 middle, the value without its quotes), in
 * bytes. Three base64 characters turn up by chance four times in each megabyte of log. The value
 * itself, and each line of it, is masked from one byte on, as GitHub does: a secret of several lines
 * whose lines are `{` and `}` blanks all braces of a log.
 */
export const minDerivedFormBytes = 4;
