/**
 * What may stand at the end of a command line that is being typed, read from the tree of commands
 * itself: so a new command or flag is completed from its first day. Values that are not in the tree
 * (jobs, runs, files) are named by their kind, and found elsewhere.
 */
import type { Argument, Command, Option } from 'commander';

export type Candidate = { value: string; description: string };
/** Kinds of values that are looked up; `files`: by the shell itself; `none`: nobody can know them. */
export type ValueKind =
  | 'events'
  | 'files'
  | 'images'
  | 'jobs'
  | 'legs'
  | 'none'
  | 'runs'
  | 'workflows';

export type Completion = {
  candidates: Candidate[];
  /** To look up besides, each behind `prefix`. */
  kind: ValueKind;
  prefix: string;
};

/** Values of flags and arguments that have no choices of their own in the tree. */
export const KINDS: ReadonlyMap<string, ValueKind> = new Map([
  ['--workflows', 'workflows'],
  ['--job', 'jobs'],
  ['--matrix', 'legs'],
  ['--event', 'events'],
  ['--event-file', 'files'],
  ['--secret', 'none'],
  ['--secret-file', 'files'],
  ['--var', 'none'],
  ['--env', 'none'],
  ['--input', 'none'],
  ['--image', 'images'],
  ['--data-dir', 'files'],
  ['--attempt', 'none'],
  ['--limit', 'none'],
  ['--listen', 'none'],
  ['--name', 'none'],
  ['--label', 'none'],
  ['--force', 'none'],
  ['--data', 'files'],
  ['--only', 'none'],
  ['--report', 'files'],
  ['--verify', 'files'],
  ['--key', 'none'],
  ['--pool', 'none'],
  ['run', 'runs'],
  ['job', 'jobs'],
  ['image', 'images'],
  ['path', 'files'],
]);

type Place = {
  command: Command;
  /** Flags given to the command already. */
  given: ReadonlySet<Option>;
  /** Operands of the command before this place. */
  operands: number;
  /** The flag whose value stands here. */
  valueOf: Option | undefined;
  /** Everything from here on is an operand. */
  isRest: boolean;
};

/** @param words after `onejob`; the last one is being typed, and may be empty */
export function complete(program: Command, words: readonly string[]): Completion {
  const current = words.at(-1) ?? '';
  const place = placeAfter(program, words.slice(0, -1));
  const { command } = place;
  if (place.valueOf !== undefined) return valuesOf(place.valueOf, '', current);
  const [, flag = '', typed = ''] = /^(--[^=]+)=(.*)$/.exec(current) ?? [];
  if (flag !== '' && !place.isRest) {
    const option = findOption(program, command, flag);
    return option === undefined ? NOTHING : valuesOf(option, `${flag}=`, typed);
  }
  const flags = flagsOf(place);
  if (current.startsWith('-') && !place.isRest)
    return { ...NOTHING, candidates: fitting(flags, current) };
  const inner = place.operands === 0 ? commandsOf(command) : [];
  const argument = argumentAt(command, place.operands);
  if (argument !== undefined) {
    const chosen = choicesOf(argument.argChoices, argument.name(), '', current);
    return { ...chosen, candidates: [...fitting(inner, current), ...chosen.candidates] };
  }
  // Where nothing but a flag can come, flags are what one asks for.
  const offered = inner.length > 0 || place.isRest ? inner : flags;
  return { ...NOTHING, candidates: fitting(offered, current) };
}

const NOTHING: Completion = { candidates: [], kind: 'none', prefix: '' };

const fitting = (candidates: readonly Candidate[], typed: string): Candidate[] =>
  candidates.filter(({ value }) => value.startsWith(typed));

function placeAfter(program: Command, words: readonly string[]): Place {
  let command = program;
  let given = new Set<Option>();
  let operands = 0;
  let valueOf: Option | undefined;
  let isRest = false;
  for (const word of words) {
    if (valueOf !== undefined) {
      valueOf = undefined;
    } else if (isRest || !word.startsWith('-') || word === '-') {
      const inner = operands === 0 && !isRest ? findCommand(program, command, word) : undefined;
      if (inner === undefined) operands += 1;
      else [command, given] = [inner, new Set()];
    } else if (word === '--') {
      isRest = true;
    } else {
      const [name = ''] = word.split('=');
      const option = findOption(program, command, name);
      if (option !== undefined) given.add(option);
      if (option?.required === true && !word.includes('=')) valueOf = option;
    }
  }
  return { command, given, operands, valueOf, isRest };
}

/** `help` is followed by a command, as the root is. */
function findCommand(program: Command, command: Command, word: string): Command | undefined {
  if (command === program && word === 'help') return program;
  return command.commands.find((one) => one.name() === word || one.aliases().includes(word));
}

/** Flags of the program itself may stand before and after a command. */
function findOption(program: Command, command: Command, name: string): Option | undefined {
  return [...command.options, ...program.options].find(
    (option) => option.long === name || option.short === name,
  );
}

function commandsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((one) => ({ value: one.name(), description: one.description() }));
}

/** The long names, and not those again that mean nothing a second time. */
function flagsOf({ command, given }: Place): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .filter((option) => !given.has(option) || Array.isArray(option.defaultValue))
    .flatMap(({ long, description }) =>
      typeof long === 'string' ? [{ value: long, description: firstLine(description) }] : [],
    );
}

const firstLine = (text: string): string => text.split('\n')[0] ?? '';

function argumentAt(command: Command, place: number): Argument | undefined {
  const found = command.registeredArguments;
  const last = found.at(-1);
  return found[place] ?? (last?.variadic === true ? last : undefined);
}

const valuesOf = (option: Option, prefix: string, typed: string): Completion =>
  choicesOf(option.argChoices, option.long ?? '', prefix, typed);

function choicesOf(
  choices: readonly string[] | undefined,
  name: string,
  prefix: string,
  typed: string,
): Completion {
  if (choices === undefined) return { candidates: [], kind: KINDS.get(name) ?? 'none', prefix };
  const chosen = choices.filter((value) => value.startsWith(typed));
  const candidates = chosen.map((value) => ({ value: prefix + value, description: '' }));
  return { candidates, kind: 'none', prefix };
}
