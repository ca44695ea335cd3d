/** Limits of a proof, each with its reason. */
const SECOND_MS = 1000;

/** Of what was observed, in a report: evidence is shorter, and a report must be read by people. */
export const OBSERVED_CHARACTERS = 200;
/** Of what a script on the host printed; as much as a probe tells of one in a sandbox. */
export const SEEN_CHARACTERS = 600;
/** How often the host looks for what a running sandbox has: a boot takes seconds. */
export const LOOK_MS = 500;
/** What the host gives a buried sandbox until it looks: the kernel takes apart what was killed. */
export const SETTLE_MS = 3 * SECOND_MS;
/** In one look for what a job wrote, at all places together: disks hold some hundred MiB, a snapshot two GiB. */
export const CONTENT_BYTES = 8 * 1024 * 1024 * 1024;
/** That takes seconds; on a host that is busy with emulated machines some more. */
export const CONTENT_MS = 60 * SECOND_MS;
/** After a look that saw everything: so many times as long as it took. */
export const CONTENT_RESTS = 5;
/** How long the job stays for it at its end, once it has written. */
export const CONTENT_STAY_SECONDS = 5;
/** How often the host counts its processes: they live for three seconds. */
export const COUNT_MS = 200;
/** More at once than a sandbox needs on the host (a monitor and its helper), fewer than do harm. */
export const MANY_PROCESSES = 150;
/** A sandbox may have 256 open (GUARD_LIMITS of the agent); more than that got through. */
export const HELD_CONNECTIONS = 260;
/** More than the 2 GiB of memory that a sandbox has (DEFAULT_SHAPE of the control plane); touched and given back. */
export const MUCH_MEMORY_MIB = 2304;
/** What a host must have free beside that, to lend it to a control. */
export const SPARE_MEMORY_MIB = 1024;
/** A shape has a disk of 8 GiB (DEFAULT_SHAPE of the control plane); taken at once and given back. */
export const LARGE_FILE_GIB = 9;
/** More files than a job's own tools make on the host, fewer than do harm. */
export const MANY_FILES = 20_000;
/** A row of a log has 16 KiB (LOG_ROW_BYTES of the protocol); this is more than any row. */
export const LONG_ROW_CHARACTERS = 32 * 1024;
/** One call of the agent protocol: a local socket, and a database that may be busy. */
export const CALL_MS = 20 * SECOND_MS;
/** Until a job of the proof is offered: it is queued when its snapshot is taken. */
export const OFFER_WAIT_MS = 15 * SECOND_MS;
/** One job of a proof: its probes take a minute in an emulated machine, and each has its own end. */
export const JOB_MINUTES = 15;
/** A report that is read back: a hundred and fifty findings take 100 KiB. */
export const REPORT_BYTES = 4 * 1024 * 1024;
/** A value that only the host knows: nobody guesses it, and it is no longer than a host name. */
export const SECRET_BYTES = 12;
/** Keys in the kernel are the real host's: what is not removed goes by itself, after the longest job. */
export const KEY_SECONDS = 900;
/** A container engine starts in two seconds; on a busy host it takes its time. */
export const ENGINE_START_MS = 60 * SECOND_MS;
export const ENGINE_LOOK_MS = 50;
/** Its last words, for whoever has to mend it. */
export const ENGINE_SAID_CHARACTERS = 8_000;
/** Of its limits of a log and of messages a flood is so near that it was at them. */
export const SLACK_BYTES = 1024 * 1024;
/** Half as much again as the log of a job may have (LOG_JOB_BYTES of the protocol). */
export const LOG_FLOOD_BYTES = 96 * 1024 * 1024;
/** A message on the link has at most 2 MiB; what held it whole would be seen in its memory. */
export const MESSAGE_FLOOD_BYTES = 1024 * 1024 * 1024;
/** What agent, control plane and the proof itself, which keeps the rows, may take meanwhile. */
export const FLOOD_MEMORY_BYTES = 768 * 1024 * 1024;
/** Until a witness says its first row: a machine boots, and emulated ones take their time. */
export const WITNESS_START_MS = 180 * SECOND_MS;
/** It says a row every second; a job that hears nothing for so long is one that was held up. */
export const WITNESS_QUIET_MS = 20 * SECOND_MS;
/** Nonsense in all registers takes seconds; a guest that hangs over it says no more. */
export const DEVICES_MS = 90 * SECOND_MS;
/** A small C program; a busy host takes its time. */
export const COMPILE_MS = 60 * SECOND_MS;
/** Tools of the scene (ip, perl, tar) take milliseconds. */
export const TOOL_MS = 20 * SECOND_MS;
